/**
 * The stored formats that `mic version` names. Kept apart from the codecs so that printing them loads none;
 * test/unit/cli-version.test.ts holds the two together.
 */
export const FORMAT_VERSIONS: Readonly<Record<string, number>> = {
  head: 1,
  pack: 1,
  tree: 1,
  landing: 1,
  session: 2,
  workspace: 1,
};
