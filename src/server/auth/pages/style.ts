/** The pages' only style sheet: written into each, allowed by its hash. */
import { hash } from "node:crypto";

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f3f0; --card: #ffffff; --text: #1d1c1a; --faint: #65625b; --line: #dedbd3;
  --accent: #1f5f4a; --accent-text: #ffffff; --accent-hover: #174a39; --field: #ffffff; --edge: #8d897f;
  --bad: #a3231b; --bad-page: #fdf0ee; --good: #1f5f4a; --code: #f4f3f0; --shadow: 0 1px 2px #0000000d, 0 8px 28px #00000012;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131412; --card: #1c1d1a; --text: #ecebe6; --faint: #a3a097; --line: #34352f;
    --accent: #7cc9ab; --accent-text: #0d1d16; --accent-hover: #97d9bf; --field: #131412; --edge: #77756c;
    --bad: #f5a097; --bad-page: #2e1917; --good: #7cc9ab; --code: #131412; --shadow: none;
  }
}
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
body {
  margin: 0; min-height: 100vh; padding: clamp(1.5rem, 11vh, 7rem) 1rem 3rem; background: var(--page); color: var(--text);
  display: flex; flex-direction: column; align-items: center;
}
header, main, footer { width: 100%; max-width: 26.5rem; }
header { display: flex; align-items: center; justify-content: space-between; gap: 1rem; padding: 0 .25rem .9rem; min-height: 2.9rem; }
.mark { font-weight: 700; font-size: 1.25rem; letter-spacing: -.02em; }
.where { color: var(--faint); font-weight: 400; font-size: .875rem; letter-spacing: 0; margin-left: .5rem; overflow-wrap: anywhere; }
main { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.75rem; box-shadow: var(--shadow); }
h1 { font-size: 1.375rem; line-height: 1.25; letter-spacing: -.015em; margin: 0 0 .5rem; text-wrap: balance; }
h1:has(+ form), h1:has(+ .problem) { margin-bottom: 1rem; }
p { margin: 0 0 1rem; text-wrap: pretty; }
.faint { color: var(--faint); font-size: .9rem; }
main > :last-child, form > :last-child { margin-bottom: 0; }
label, legend { display: block; font-weight: 600; font-size: .9rem; margin-bottom: .3rem; padding: 0; }
input[type=text], input[type=password] {
  display: block; width: 100%; font: inherit; color: inherit; background: var(--field);
  border: 1px solid var(--edge); border-radius: 9px; padding: .62rem .75rem; margin: 0 0 1rem;
}
input[aria-invalid=true] { border-color: var(--bad); }
input.entry { font: 600 1.35rem/1.2 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; letter-spacing: .08em; text-align: center; text-transform: uppercase; }
.entry::placeholder { color: var(--faint); opacity: .55; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.buttons { display: flex; gap: .75rem; margin: 1.4rem 0 0; }
button {
  font: inherit; font-weight: 600; flex: 1; min-height: 2.85rem; padding: .55rem 1rem; border-radius: 9px;
  border: 1px solid var(--edge); background: transparent; color: var(--text); cursor: pointer;
}
button:hover { border-color: var(--text); }
.primary { background: var(--accent); border-color: var(--accent); color: var(--accent-text); }
.primary:hover { background: var(--accent-hover); border-color: var(--accent-hover); }
.link { flex: none; min-height: 0; border: 0; padding: .3rem .1rem; font-weight: 400; font-size: .9rem; color: var(--faint); text-decoration: underline; text-underline-offset: .2em; }
.link:hover { color: var(--text); }
a { color: var(--accent); text-underline-offset: .2em; overflow-wrap: anywhere; }
.problem { background: var(--bad-page); color: var(--bad); border: 1px solid var(--bad); border-radius: 9px; padding: .65rem .8rem; font-size: .925rem; }
.code {
  font: 700 1.85rem/1.2 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; letter-spacing: .07em; text-align: center;
  background: var(--code); border: 1px solid var(--line); border-radius: 10px; padding: .8rem .5rem; margin: 1rem 0;
}
dl { margin: 0 0 1.1rem; display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; font-size: .925rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
fieldset { border: 0; margin: 0 0 1rem; padding: 0; min-width: 0; }
.choice { display: flex; gap: .7rem; align-items: flex-start; font-weight: 400; border: 1px solid var(--line); border-radius: 9px; padding: .6rem .75rem; margin: .45rem 0 0; cursor: pointer; }
.choice:has(:checked) { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.choice input { margin: .3rem 0 0; accent-color: var(--accent); flex: none; }
.choice small { display: block; color: var(--faint); font-size: .85rem; line-height: 1.4; text-wrap: pretty; }
.done { width: 2.75rem; height: 2.75rem; margin: 0 0 .9rem; color: var(--good); display: block; }
.done.not { color: var(--faint); }
footer { color: var(--faint); font-size: .825rem; padding: .9rem .25rem 0; }
@media (max-width: 30rem) {
  body { padding-top: 1rem; }
  main { padding: 1.25rem; }
  .code { font-size: 1.6rem; }
}
`;

export const STYLE_SOURCE = `'sha256-${hash("sha256", STYLE, "base64")}'`;
