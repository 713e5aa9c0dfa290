/** What a server's context holds about accounts, for tests in which one administrator calls and nobody else. */
import { systemClock } from "../../src/core/base/system.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import type { Accounts } from "../../src/server/auth/accounts.ts";
import { Authorizer } from "../../src/server/auth/authorizer.ts";
import { LOCAL_DURABILITY } from "../../src/server/auth/durability.ts";
import { OwnedProjects } from "../../src/server/auth/owned-projects.ts";
import type { Principal } from "../../src/server/auth/principal.ts";
import type { ServerContext } from "../../src/server/context.ts";
import { createNetwork, type Network } from "../../src/server/network/network.ts";
import { type NetworkFlags, readNetworkSettings } from "../../src/server/network/network-options.ts";

/** A site administrator with a token for everything. */
export function administrator(account: string): Principal {
  return {
    account,
    userId: "ad".repeat(16),
    isSiteAdmin: true,
    scope: "admin",
    onlyProject: undefined,
    tokenId: undefined,
    ended: new AbortController().signal,
  };
}

type AccessParts = Pick<
  ServerContext,
  "accounts" | "authorizer" | "projects" | "audit" | "landingLog" | "durability" | "network"
>;

/** Nobody but administrators has a role anywhere; what they make is nobody's in particular. */
export function accessForAdministrators(forge: Forge, network?: Network): AccessParts {
  const accounts = {
    roleIn: () => "owner",
    roleInOrganization: () => "owner",
    isNameTaken: () => false,
    claimOrganization: () => true,
    startCreation: () => true,
    findCreation: () => undefined,
    endCreation: () => undefined,
    onRolesChanged: () => () => undefined,
  } as unknown as Accounts;
  const audit = { record: () => undefined, list: () => ({ records: [], next: undefined }) };
  const authorizer = new Authorizer({ forge, accounts, clock: systemClock });
  const projects = new OwnedProjects({ forge, accounts, authorizer, audit });
  return {
    accounts,
    authorizer,
    projects,
    audit,
    landingLog: { record: () => Promise.resolve() },
    durability: LOCAL_DURABILITY,
    network: network ?? networkOf({}),
  };
}

/** What a server on this machine knows of its network, by the options of `mic serve`. */
export function networkOf(flags: NetworkFlags): Network {
  return createNetwork({
    settings: readNetworkSettings(flags, {}),
    listenHost: "127.0.0.1",
    hasTls: false,
    publicUrl: undefined,
    clock: systemClock,
  });
}
