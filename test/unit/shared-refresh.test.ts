import { expect, test } from "vitest";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ProjectStore } from "../../src/core/forge/project-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

/** Answers conditional reads when it is told to. */
class HeldStore extends MemoryStore {
  asked = 0;
  #release: (() => void)[] = [];

  override async revalidate(...parameters: Parameters<ObjectStore["revalidate"]>) {
    this.asked++;
    await new Promise<void>((resolve) => this.#release.push(resolve));
    return super.revalidate(...parameters);
  }

  answer(): void {
    for (const release of this.#release.splice(0)) release();
  }
}

async function openProject() {
  const store = new HeldStore(systemClock);
  const project = new ProjectStore({
    store,
    project: mintProjectId(systemRandom),
    clock: systemClock,
    random: systemRandom,
    cacheBytes: 1 << 20,
    trustWriters: true,
  });
  await project.create();
  await project.snapshot();
  return { store, project };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("readers that come while the head is asked for share one further question", async () => {
  const { store, project } = await openProject();
  const first = project.snapshot();
  const later = Array.from({ length: 100 }, () => project.snapshot());
  await turn();
  expect(store.asked).toBe(1);
  store.answer();
  await first;
  await turn();
  expect(store.asked).toBe(2);
  store.answer();
  await Promise.all(later);
  expect(store.asked).toBe(2);
});

test("a reader that gives up leaves the question to the others", async () => {
  const { store, project } = await openProject();
  const controller = new AbortController();
  const given = project.snapshot({ signal: controller.signal });
  const kept = project.snapshot();
  controller.abort();
  await expect(given).rejects.toMatchObject({ code: "aborted" });
  store.answer();
  await turn();
  store.answer();
  await kept;
});

test("a question that fails fails those who share it, and the next is asked anew", async () => {
  const { store, project } = await openProject();
  const real = store.revalidate.bind(store);
  let failing = true;
  store.revalidate = async (...parameters) => {
    if (failing) throw new Error("no answer");
    return await real(...parameters);
  };
  await expect(project.snapshot()).rejects.toThrow("no answer");
  failing = false;
  const read = project.snapshot();
  await turn();
  store.answer();
  await read;
});
