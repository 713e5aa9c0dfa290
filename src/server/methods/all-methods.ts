/** Every method of the API, in the order of its services. */
import { accountMethods } from "./accounts.ts";
import { contentMethods } from "./content.ts";
import type { Method } from "./method.ts";
import { projectMethods } from "./projects.ts";
import { sessionMethods } from "./sessions.ts";

export function allMethods(): Method[] {
  return [...projectMethods(), ...sessionMethods(), ...contentMethods(), ...accountMethods()];
}
