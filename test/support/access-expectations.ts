/**
 * What every caller gets from every kind of endpoint, written down by hand: the test compares the server with it.
 *
 * `A` allowed (whatever comes of it), `U` 401, `F` 403, `H` hidden: 404 as for what is not there.
 */
export const CALLERS = [
  "nobody",
  "stranger",
  "reader",
  "writer",
  "owner",
  "member of the organization who reads",
  "member of the organization who writes",
  "owner of the organization",
  "owner with a token to read",
  "owner with a token to write",
  "owner with a token for this project",
  "owner with a token for another project",
  "administrator of the site",
  "administrator with a token to read",
  "owner with a revoked token",
  "owner who is disabled",
  "administrator with a token for this project",
] as const;

export type Caller = (typeof CALLERS)[number];
export type ProjectKind = "public" | "private" | "absent";
export type Class =
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

/** One letter for each caller, in their order. */
type Row = string;
const everyKind = (row: Row): Record<ProjectKind, Row> => ({ public: row, private: row, absent: row });

export const EXPECTED: Readonly<Record<Class, Readonly<Record<ProjectKind, Row>>>> = {
  anyone: everyKind("AAAAAAAAAAAAAAAAA"),
  "signed-in": everyKind("UAAAAAAAAAAAAAUUA"),
  "signed-in-write": everyKind("UAAAAAAAFAFFAFUUF"),
  account: everyKind("UAAAAAAAFFFFAFUUF"),
  "site-admin": everyKind("UFFFFFFFFFFFAFUUF"),
  "site-read": everyKind("UFFFFFFFFFFFAAUUF"),
  "project-read": {
    public: "AAAAAAAAAAAAAAUUA",
    private: "UHAAAAAAAAAHAAUUA",
    absent: "UHHHHHHHHHHHHHUUH",
  },
  "project-write": {
    public: "UFFAAFAAFAAFAFUUA",
    private: "UHFAAFAAFAAHAFUUA",
    absent: "UHHHHHHHFHHHHFUUH",
  },
  "project-own": {
    public: "UFFFAFFAFFAFAFUUA",
    private: "UHFFAFFAFFAHAFUUA",
    absent: "UHHHHHHHFFHHHFUUH",
  },
  "organization-read": {
    public: "AAAAAAAAAAAAAAUUA",
    private: "UHAAAAAAAAAHAAUUA",
    absent: "UHHHHHHHHHHHHHUUH",
  },
  "organization-own": {
    public: "UFFFFFFAFFFFAFUUF",
    private: "UHFFFFFAFFFHAFUUF",
    absent: "UHHHHHHHFFHHHFUUH",
  },
};

/** Of the REST operations, by id. */
export const REST_CLASSES: Readonly<Record<string, Class>> = {
  getOpenApi: "anyone",
  getSkill: "anyone",
  getLlmsText: "anyone",
  listProjects: "signed-in",
  createProject: "signed-in-write",
  getProject: "project-read",
  updateProject: "project-own",
  deleteProject: "project-own",
  listOrganizations: "signed-in",
  createOrganization: "signed-in-write",
  getOrganization: "organization-read",
  getHead: "project-read",
  listLandings: "project-read",
  getLanding: "project-read",
  diff: "project-read",
  blame: "project-read",
  followLandings: "project-read",
  followSession: "project-read",
  listTree: "project-read",
  getFile: "project-read",
  getArchive: "project-read",
  putBlob: "project-write",
  getBlob: "project-read",
  putPack: "project-write",
  startUpload: "project-write",
  finishUpload: "project-write",
  getPack: "project-read",
  startSession: "project-write",
  listSessions: "project-read",
  getSession: "project-read",
  recordOperations: "project-write",
  recordDecision: "project-write",
  recordConversation: "project-write",
  abandonSession: "project-write",
  landSession: "project-write",
  listProjectMembers: "project-own",
  setProjectMember: "project-own",
  removeProjectMember: "project-own",
  listOrganizationMembers: "organization-own",
  setOrganizationMember: "organization-own",
  removeOrganizationMember: "organization-own",
  getAccount: "signed-in",
  listTokens: "account",
  createToken: "account",
  revokeToken: "account",
  setPassword: "account",
  listUsers: "site-admin",
  createUser: "site-admin",
  getUser: "site-admin",
  updateUser: "site-admin",
  listUserTokens: "site-admin",
  revokeUserToken: "site-admin",
  listAudit: "site-admin",
  listLandingAudit: "site-admin",
  listWebhooks: "project-own",
  createWebhook: "project-own",
  getWebhook: "project-own",
  updateWebhook: "project-own",
  deleteWebhook: "project-own",
  pingWebhook: "project-own",
  listDeliveries: "project-own",
  getDelivery: "project-own",
  redeliver: "project-own",
};

/** Of what is answered beside the API. */
export const PATH_CLASSES: Readonly<Record<string, Class>> = { "/metrics": "site-read" };

/** Of the methods of gRPC and the content transport. */
export const METHOD_CLASSES: Readonly<Record<string, Class>> = {
  "mic.v1.ProjectService/CreateOrganization": "signed-in-write",
  "mic.v1.ProjectService/GetOrganization": "organization-read",
  "mic.v1.ProjectService/ListOrganizations": "signed-in",
  "mic.v1.ProjectService/CreateProject": "signed-in-write",
  "mic.v1.ProjectService/GetProject": "project-read",
  "mic.v1.ProjectService/ListProjects": "signed-in",
  "mic.v1.ProjectService/UpdateProject": "project-own",
  "mic.v1.ProjectService/DeleteProject": "project-own",
  "mic.v1.ProjectService/ImportLandings": "project-write",
  "mic.v1.ProjectService/ImportSession": "project-write",
  "mic.v1.ProjectService/Fsck": "project-write",
  "mic.v1.SessionService/StartSession": "project-write",
  "mic.v1.SessionService/GetSession": "project-read",
  "mic.v1.SessionService/ListSessions": "project-read",
  "mic.v1.SessionService/RecordOperation": "project-write",
  "mic.v1.SessionService/RecordDecision": "project-write",
  "mic.v1.SessionService/RecordConversation": "project-write",
  "mic.v1.SessionService/AbandonSession": "project-write",
  "mic.v1.SessionService/LandSession": "project-write",
  "mic.v1.SessionService/Land": "project-write",
  "mic.v1.SessionService/WatchSession": "project-read",
  "mic.v1.ContentService/GetHead": "project-read",
  "mic.v1.ContentService/GetTreeAtPosition": "project-read",
  "mic.v1.ContentService/GetTree": "project-read",
  "mic.v1.ContentService/ListEntries": "project-read",
  "mic.v1.ContentService/GetPath": "project-read",
  "mic.v1.ContentService/Diff": "project-read",
  "mic.v1.ContentService/Blame": "project-read",
  "mic.v1.ContentService/FindContent": "project-read",
  "mic.v1.ContentService/GetBlob": "project-read",
  "mic.v1.ContentService/PutBlob": "project-write",
  "mic.v1.ContentService/PutPack": "project-write",
  "mic.v1.ContentService/StartUpload": "project-write",
  "mic.v1.ContentService/FinishUpload": "project-write",
  "mic.v1.ContentService/Fetch": "project-read",
  "mic.v1.ContentService/ReadObjects": "project-read",
  "mic.v1.ContentService/ListLandings": "project-read",
  "mic.v1.ContentService/GetLanding": "project-read",
  "mic.v1.ContentService/FindLanding": "project-read",
  "mic.v1.ContentService/WatchLandings": "project-read",
  "mic.v1.AccountService/WhoAmI": "signed-in",
  "mic.v1.AccountService/ListTokens": "account",
  "mic.v1.AccountService/CreateToken": "account",
  "mic.v1.AccountService/RevokeToken": "account",
  "mic.v1.AccountService/StartDeviceFlow": "anyone",
  "mic.v1.AccountService/PollDeviceFlow": "anyone",
  "mic.v1.AccountService/RefreshToken": "anyone",
  "mic.v1.AccountService/RevokeSignIn": "anyone",
};
