/** The options that say what a server is: those of `mic serve`, and of what looks at a server from its own machine. */
import type { Command } from "commander";

export function defineServeFlags(command: Command): Command {
  return command
    .option(
      "--data <dir>",
      "where everything is kept (default: STORAGE_LOCAL_PATH, or a directory of the system)",
    )
    .option(
      "--s3-bucket <name>",
      "keep all projects in this bucket; --data then holds the accounts (see --auth-replica)",
    )
    .option("--s3-prefix <path>", "below this prefix of the bucket")
    .option("--s3-endpoint <url>", "of a store other than AWS, e.g. http://localhost:9000")
    .option("--s3-region <name>", "of the bucket (default: the endpoint's, the profile's, us-east-1)")
    .option("--cache-path <dir>", "keep what was read from the bucket on this local disk")
    .option("--cache-max-bytes <n>", "keep at most this much of it there (default 16 GiB)")
    .option("--cache-memory-max-bytes <n>", "keep at most this much of it in memory")
    .option("--cdn-base-url <url>", "read what never changes through this CDN before the bucket")
    .option("--cdn-timeout-ms <n>", "wait this long for it (default: 2000)")
    .option("--presigned-urls", "let clients send large packs to the bucket directly")
    .option("--auth-replica <s3://bucket/prefix>", "replicate the accounts there, with Litestream")
    .option("--auth-replica-endpoint <url>", "of that bucket, where it is not the forge's")
    .option("--auth-role <role>", "auto, primary or follower (default: auto)")
    .option("--advertise-url <url>", "where the other servers of these accounts reach this one")
    .option("--listen <host:port>", "address to listen on (default: 127.0.0.1:7420; port 0: any free one)")
    .option("--tls-cert <file>", "certificate chain in PEM: serve with TLS")
    .option("--tls-key <file>", "its private key in PEM")
    .option("--insecure-listen", "without TLS although other machines can reach it, e.g. behind a proxy")
    .option("--public-url <url>", "how callers reach this server, e.g. https://forge.example.com")
    .option("--allowed-host <names>", "further names that callers may reach it by, with commas between")
    .option(
      "--trusted-proxy <ranges>",
      "believe what these proxies say of a caller's address, e.g. 10.0.0.0/8",
    )
    .option("--cors-origin <origins>", "let pages of these origins call the API (default: none)")
    .option("--rate-limit <n[,m]>", "units a second for an address and for a user, or off (default: 20,1000)")
    .option("--allow-outbound <hosts>", "let webhooks reach these hosts and ranges, which are not public");
}
