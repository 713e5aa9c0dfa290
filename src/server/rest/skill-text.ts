/** `/SKILL.md`: all that an agent with nothing but curl needs. A test runs its code blocks as they stand. */
export const SKILL_TEXT = `---
name: mic
description: Clone, edit and land in a project of this mic server with nothing but bash, curl and tar.
---

# mic with curl

mic is version control without branches. A project is a line of positions, 0 being the empty tree. You record work in
a **session** that starts from a position (its base) under a goal, and **land** it: it becomes the next position, or
the server names the paths that others changed since your base (a conflict). Landing never merges and never
overwrites; merging is yours.

Everything below is bash, curl and tar, to be copied as it is. Three variables are set by you:

- \`MIC_URL\`: this server, for instance \`https://mic.example.org\`
- \`MIC_TOKEN\`: your token
- \`MIC_PROJECT\`: the project's id, or its name with the slash encoded: \`acme%2Fapp\`

## 1. Set up

\`\`\`bash
P="$MIC_URL/api/mic/projects/$MIC_PROJECT"
# Calls the server; fails where it refuses, and still prints what it says.
api() { curl -sS --fail-with-body -H "authorization: Bearer $MIC_TOKEN" "$@"; }
json() { api -H "content-type: application/json" "$@"; }
# The first member of that name in a JSON document: ids, hashes, numbers.
field() { grep -o "\\"$1\\":\\"\\{0,1\\}[^\\",}]*" | head -n 1 | sed 's/.*:"\\{0,1\\}//'; }
# Text as a JSON string.
text() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\\\"]/\\\\&/g; s/	/\\\\t/g' | awk '{ printf "%s%s", (NR > 1 ? "\\\\n" : ""), $0 }')"; }
\`\`\`

A project that does not exist yet is created once; its organization comes with it:

\`\`\`bash create
json -d "{\\"name\\":$(text "\${MIC_PROJECT/\\%2F//}")}" "$MIC_URL/api/mic/projects"
\`\`\`

## 2. Clone

\`\`\`bash
BASE=$(api "$P/head" | field position)
mkdir -p work
api "$P/archive?at=$BASE" | tar -x -C work
\`\`\`

Only a part: \`archive?at=$BASE&dir=src\`. One file: \`api "$P/files/src/main.c?at=$BASE"\`.

## 3. Edit

Change files below \`work/\`, and keep the list of what you changed and removed, as paths below \`work/\`:

\`\`\`bash edit
printf 'hello\\n' > work/hello.txt
CHANGED=("hello.txt")
REMOVED=()
GOAL="Say hello"
\`\`\`

## 4. Land

\`\`\`bash
start() { S=$(json -d "{\\"goal\\":$(text "$GOAL"),\\"base\\":$BASE}" "$P/sessions" | field id); }
operation() {
  local said
  said=$(json -d "{\\"operations\\":[$1]}" "$P/sessions/$S/operations") || { echo "$said" >&2; return 1; }
}
content() { if [ -L "$1" ]; then readlink -n "$1"; else cat "$1"; fi; }
record() {
  local f blob kind
  for f in "\${CHANGED[@]}"; do
    kind=file
    if [ -x "work/$f" ]; then kind=executable; fi
    if [ -L "work/$f" ]; then kind=symlink; fi
    blob=$(content "work/$f" | api -X POST -T - "$P/blobs") || return
    # The answer is {"hash":…,"size":…}, and "chunks" for a large file: all of it goes into the operation.
    operation "{\\"op\\":\\"put\\",\\"path\\":$(text "$f"),\\"kind\\":\\"$kind\\",\${blob#?}" || return
  done
  for f in "\${REMOVED[@]}"; do
    operation "{\\"op\\":\\"delete\\",\\"path\\":$(text "$f")}" || return
  done
}
land() {
  LANDING=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')
  json -d "{\\"landingId\\":\\"$LANDING\\",\\"agent\\":\\"curl\\"}" "$P/sessions/$S/land"
}
\`\`\`

\`\`\`bash
start && record && land
\`\`\`

The answer has the new \`position\`. Many operations may go into one call; of two on one path the later counts.
Say why while you work; both stay with the landing:

\`\`\`bash notes
start
json -d '{"text":"Greet in English, the users all read it"}' "$P/sessions/$S/decisions"
json -d '{"messages":[{"role":"user","text":"Please say hello"}]}' "$P/sessions/$S/conversation"
\`\`\`

A session that you give up: \`json -d '{}' "$P/sessions/$S/abandon"\`.

## 5. Conflict

\`land\` fails with HTTP 409 and \`{"code":"conflict","paths":["hello.txt"],…}\`: others changed these paths since your
base. Nothing was landed. Merge what they made into yours, then land from the newest position in a new session:

\`\`\`bash conflict
NEW=$(api "$P/head" | field position)
for f in "\${CHANGED[@]}"; do
  api "$P/files/$f?at=$NEW" -o theirs.tmp > /dev/null 2>&1 || continue
  api "$P/files/$f?at=$BASE" -o base.tmp > /dev/null 2>&1 || : > base.tmp
  # Or \`diff3 -m\`, or read the three and write the result yourself.
  git merge-file "work/$f" base.tmp theirs.tmp || echo "$f has conflict markers: settle them before you land"
done
BASE=$NEW
\`\`\`

\`\`\`bash
start && record && land
\`\`\`

Repeat when others were faster again. Escape what is special in a URL: a space is \`%20\`, \`?\` is \`%3F\`, \`%\` is \`%25\`.

## 6. Look around

\`\`\`bash look
api "$P/head"                                   # the newest position
api "$P/tree?dir="                              # one directory, in pages: pass next as after=
api "$P/tree?recursive=true"                    # every file with kind, size and hash
api "$P/files/hello.txt"                        # content; at=N for a position
api "$P/landings?path=hello.txt&limit=10"       # who changed it, newest first; pass before for more
api "$P/landings/latest"                        # goal, decisions, conversation, operations
api "$P/diff?from=0&to=latest&format=patch"     # for git apply; without format=patch: JSON
api "$P/blame/hello.txt"                        # the landing of each line
api "$P/sessions?state=open"                    # who works on what
api -N --max-time 1 "$P/landings/events?after=0" || true   # landings as they happen, as server-sent events
\`\`\`

\`at\`, \`from\` and \`to\` take a position or \`latest\`. Every endpoint is in \`/api/openapi.json\`.

## Errors

Errors are problem documents (RFC 9457): \`code\` says what happened, \`hint\` what to do, \`detail\` is for people.

| code | status | what to do |
| --- | --- | --- |
| \`conflict\` | 409 | merge \`paths\` and land from the newest position, as above |
| \`nothing-to-land\` | 409 | the session changes nothing |
| \`landed\` | 409 | the session has landed (\`position\`): start another one |
| \`outcome-unknown\`, \`unreachable\` | 503 | send the same call again; \`land\` with the same \`landingId\`: it lands once |
| \`landing-id-reused\` | 409 | that id landed something else: mint a new one |
| \`history-changed\` | 409 | your base is not in this project's history: clone again |
| \`already-exists\` | 409 | the name or the id is taken |
| \`not-found\` | 404 | check the project, position and path; you may not be allowed to see it |
| \`unauthenticated\`, \`forbidden\` | 401, 403 | check \`MIC_TOKEN\` |
| \`usage\`, \`out-of-range\`, \`unsafe-path\` | 400 | fix the call; \`issues\` and \`paths\` say where; \`secrets\` names keys that the project's policy does not let in: take them out |
| \`too-large\` | 413 | send less at once |
| \`rate-limited\` | 429 | send the same call again after \`retry-after\` seconds |
| \`corrupt\`, \`internal\` | 500 | report it, with \`requestId\` where there is one |

## Ids and limits

- Project, session and landing ids are 32 hex digits. Give your own \`id\` (or \`landingId\`) to make a creation or a
  landing safe to repeat; left out, the server mints one and answers with it.
- Hashes are BLAKE3, 64 hex digits: a file's \`hash\` is what \`b3sum\` prints.
- Paths are relative, \`/\`-separated, UTF-8, at most 4096 bytes; no \`..\`, no \`.git\` or \`.mic\` directories.
- JSON bodies are at most 8 MiB; content goes to \`blobs\`, of any size, as it is.
- A symlink is a put of kind \`symlink\` whose content is its target.
- Texts (goal, decision, message) are at most 1 MiB each; a session holds at most 100,000 operations.
`;
