/** `/llms.txt`: where a language model finds what it needs here. */
export const LLMS_TEXT = `# mic

> A version control system made for many writers at once, people and agents, and the forge that serves it. There
> are no branches: work is recorded in a session and landed under a goal; a landing becomes the next position of
> the project, or names the paths that others changed meanwhile.

- [SKILL.md](/SKILL.md): clone, edit and land with nothing but curl; errors and what to do about them
- [OpenAPI](/api/openapi.json): every endpoint with its parameters, answers and errors

Every call except these three needs \`Authorization: Bearer TOKEN\`.
`;
