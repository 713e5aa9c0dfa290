/**
 * What an endpoint asks of its caller: a field of every route and every method, checked by `Authorizer`
 * (./authorizer.ts) and by nothing else.
 *
 * | access | who |
 * | --- | --- |
 * | `anyone` | without a token too |
 * | `signed-in` | any user, whatever the token's scope |
 * | `signed-in-write` | any user, with a token of scope `write` or `admin` that is not for one project only |
 * | `account` | any user, with a token of scope `admin` that is not for one project only: its own account's settings |
 * | `site-admin` | an administrator of the site, with such a token |
 * | `site-read` | an administrator of the site, whatever the token's scope, with one that is not for one project only |
 * | `project-read` | who may read the project; anybody where it is public |
 * | `project-write`, `project-own` | who has that role in the project or its organization |
 * | `organization-read` | members, and whoever sees one of its projects |
 * | `organization-own` | owners of the organization |
 */
export type Access =
  | "anyone"
  | "signed-in"
  | "signed-in-write"
  | "account"
  | "site-admin"
  | "site-read"
  | "project-read"
  | "project-write"
  | "project-own"
  | "organization-read"
  | "organization-own";
