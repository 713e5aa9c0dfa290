/**
 * Where an environment says that a person's files are. Pure: composition roots read the environment.
 *
 * Only absolute paths count. A relative one, or one made from a home that is not set, leads into whatever directory
 * the process stands in, and what belongs to a person (programs to run, keys, tokens) would be read from files of
 * strangers there.
 */
import { isAbsolute } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined where none is known. */
export function homeOf(env: Environment): string | undefined {
  return absoluteOf(env, "HOME") ?? absoluteOf(env, "USERPROFILE");
}

/** The value of a variable that names a directory; undefined when it is not set, or relative. */
export function absoluteOf(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value !== undefined && isAbsolute(value) ? value : undefined;
}
