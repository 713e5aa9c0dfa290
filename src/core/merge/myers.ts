/**
 * Myers' difference algorithm in linear space ("An O(ND) Difference Algorithm and Its Variations", 1986, §4b),
 * with the bound on effort that xdiff has: a split that is not found within `costMax` steps is made at the
 * furthest point reached, so the result stays correct and merely stops being minimal.
 */

const FAR = 0x3fff_ffff;

/** Work per split, so that short texts are compared exactly and the longest ones in about a second. */
function costLimit(lines: number): number {
  return Math.max(256, Math.min(4096, Math.floor(20_000_000 / (lines + 1))));
}

/** Sets `aChanged` and `bChanged` to 1 for every element that is not part of the common subsequence. */
export function markMyers(a: Int32Array, b: Int32Array, aChanged: Uint8Array, bChanged: Uint8Array): void {
  const diagonals = a.length + b.length + 3;
  const offset = b.length + 1;
  const forward = new Int32Array(diagonals);
  const backward = new Int32Array(diagonals);
  const costMax = costLimit(a.length + b.length);
  const split = { a: 0, b: 0 };
  const pending: number[] = [0, a.length, 0, b.length];
  while (pending.length > 0) {
    let bHigh = pending.pop()!;
    let bLow = pending.pop()!;
    let aHigh = pending.pop()!;
    let aLow = pending.pop()!;
    while (aLow < aHigh && bLow < bHigh && a[aLow] === b[bLow]) {
      aLow++;
      bLow++;
    }
    while (aLow < aHigh && bLow < bHigh && a[aHigh - 1] === b[bHigh - 1]) {
      aHigh--;
      bHigh--;
    }
    if (aLow === aHigh) bChanged.fill(1, bLow, bHigh);
    else if (bLow === bHigh) aChanged.fill(1, aLow, aHigh);
    else {
      findSplit(a, b, aLow, aHigh, bLow, bHigh, forward, backward, offset, costMax, split);
      pending.push(split.a, aHigh, split.b, bHigh, aLow, split.a, bLow, split.b);
    }
  }
}

/**
 * A point on a shortest path through the rectangle, or on a good one. Both ends of the rectangle differ. The
 * furthest points of diagonal d = x − y are at `forward[d + offset]` and `backward[d + offset]`.
 */
function findSplit(
  a: Int32Array,
  b: Int32Array,
  aLow: number,
  aHigh: number,
  bLow: number,
  bHigh: number,
  forward: Int32Array,
  backward: Int32Array,
  offset: number,
  costMax: number,
  split: { a: number; b: number },
): void {
  const least = aLow - bHigh;
  const most = aHigh - bLow;
  const forwardMiddle = aLow - bLow;
  const backwardMiddle = aHigh - bHigh;
  const isOdd = ((forwardMiddle - backwardMiddle) & 1) !== 0;
  let forwardMin = forwardMiddle;
  let forwardMax = forwardMiddle;
  let backwardMin = backwardMiddle;
  let backwardMax = backwardMiddle;
  forward[forwardMiddle + offset] = aLow;
  backward[backwardMiddle + offset] = aHigh;
  for (let cost = 1; ; cost++) {
    if (forwardMin > least) forward[--forwardMin - 1 + offset] = -1;
    else forwardMin++;
    if (forwardMax < most) forward[++forwardMax + 1 + offset] = -1;
    else forwardMax--;
    for (let d = forwardMax; d >= forwardMin; d -= 2) {
      const below = forward[d - 1 + offset]!;
      const above = forward[d + 1 + offset]!;
      let x = below >= above ? below + 1 : above;
      let y = x - d;
      while (x < aHigh && y < bHigh && a[x] === b[y]) {
        x++;
        y++;
      }
      forward[d + offset] = x;
      if (isOdd && backwardMin <= d && d <= backwardMax && backward[d + offset]! <= x) {
        split.a = x;
        split.b = y;
        return;
      }
    }
    if (backwardMin > least) backward[--backwardMin - 1 + offset] = FAR;
    else backwardMin++;
    if (backwardMax < most) backward[++backwardMax + 1 + offset] = FAR;
    else backwardMax--;
    for (let d = backwardMax; d >= backwardMin; d -= 2) {
      const below = backward[d - 1 + offset]!;
      const above = backward[d + 1 + offset]!;
      let x = below < above ? below : above - 1;
      let y = x - d;
      while (x > aLow && y > bLow && a[x - 1] === b[y - 1]) {
        x--;
        y--;
      }
      backward[d + offset] = x;
      if (!isOdd && forwardMin <= d && d <= forwardMax && x <= forward[d + offset]!) {
        split.a = x;
        split.b = y;
        return;
      }
    }
    if (cost < costMax) continue;
    let ahead = -1;
    for (let d = forwardMax; d >= forwardMin; d -= 2) {
      let x = Math.min(forward[d + offset]!, aHigh);
      if (x - d > bHigh) x = bHigh + d;
      if (x + x - d > ahead) {
        ahead = x + x - d;
        split.a = x;
        split.b = x - d;
      }
    }
    let behind = FAR;
    let behindX = 0;
    for (let d = backwardMax; d >= backwardMin; d -= 2) {
      let x = Math.max(backward[d + offset]!, aLow);
      if (x - d < bLow) x = bLow + d;
      if (x + x - d < behind) {
        behind = x + x - d;
        behindX = x;
      }
    }
    if (aHigh + bHigh - behind > ahead - (aLow + bLow)) {
      split.a = behindX;
      split.b = behind - behindX;
    }
    return;
  }
}
