export const SKILL_TEXT = "x";
