import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

export interface Addresses {
  /** Whether it may be sent to this address, and whether over TLS; `host` may be a name, of which nothing is known yet. */
  permits(host: string, encrypted: boolean): boolean;
  /** What a socket asks for the addresses of a name: it answers with those that are permitted, or fails. */
  lookup(encrypted: boolean): LookupFunction;
}

interface Resolved {
  address: string;
  family: number;
}

/**
 * By default the addresses of the public internet, over TLS alone. The check is of the address that the socket connects
 * to, so that a name which answers differently the second time gains nothing.
 *
 * @param allow addresses, and networks as CIDRs, to which also plain HTTP may be sent.
 * @param resolve the addresses of a name.
 */
export function createAddresses(
  allow: readonly string[],
  resolve: Resolve = inTurns(systemResolve),
): Addresses {
  const allowed = new BlockList();
  for (const network of allow) {
    const [address = "", bits] = network.split("/");
    if (bits === undefined) allowed.addAddress(address, typeOf(address));
    else allowed.addSubnet(address, Number(bits), typeOf(address));
  }

  function permits(host: string, encrypted: boolean): boolean {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (isIP(address) === 0) return true;
    const type = typeOf(address);
    if (allowed.check(address, type)) return true;
    if (!encrypted) return false;
    return type === "ipv4"
      ? !NOT_PUBLIC.check(address, type)
      : PUBLIC_IPV6.check(address, type) && !NOT_PUBLIC.check(address, type);
  }

  return {
    permits,
    lookup: (encrypted) => (hostname, options, callback) => {
      resolve(hostname).then(
        (found) => {
          const open = found.filter(({ address }) => permits(address, encrypted));
          const overTls = found.some(({ address }) => permits(address, true));
          if (!open[0]) callback(new Error(`${hostname} ${why(overTls)}`), []);
          else if (options.all) callback(null, open);
          else callback(null, open[0].address, open[0].family);
        },
        (error: NodeJS.ErrnoException) => callback(error, []),
      );
    },
  };
}

/** Why an address is refused, and what an operator may do about it; `overTls` where it is not over TLS. */
export function why(overTls: boolean): string {
  const what = overTls
    ? "may be called with https alone, at an address of the public internet"
    : "is no address of the public internet";
  return `${what} (MAITRED_WEBHOOK_ALLOW names networks that may be called all the same, over http too: set it here and for the maitred deliver or maitred up that sends)`;
}

type Resolve = (hostname: string) => Promise<Resolved[]>;

/**
 * Asks for a name once at a time, and of the names that had no address when they were last asked for, or never were asked
 * for, one after the other, the latter first: the system's resolver has two threads, and however many names hang, they leave
 * one of them to those that do not.
 */
export function inTurns(resolve: Resolve): Resolve {
  const asked = new Map<string, Promise<Resolved[]>>();
  const found = new Map<string, boolean>();
  const strangers: (() => Promise<unknown>)[] = [];
  const failed: (() => Promise<unknown>)[] = [];
  let busy = false;

  async function run(): Promise<void> {
    if (busy) return;
    busy = true;
    for (let next = strangers.shift() ?? failed.shift(); next; next = strangers.shift() ?? failed.shift())
      await next().catch(() => {});
    busy = false;
  }

  function inTurn(hostname: string, waiting: (() => Promise<unknown>)[]): Promise<Resolved[]> {
    return new Promise((resolved, rejected) => {
      waiting.push(() => resolve(hostname).then(resolved, rejected));
      void run();
    });
  }

  return (hostname) => {
    const running = asked.get(hostname);
    if (running) return running;
    const before = found.get(hostname);
    const answer = (before ? resolve(hostname) : inTurn(hostname, before === undefined ? strangers : failed))
      .finally(() => asked.delete(hostname))
      .then(
        (addresses) => {
          found.set(hostname, true);
          return addresses;
        },
        (error: unknown) => {
          found.set(hostname, false);
          throw error;
        },
      );
    asked.set(hostname, answer);
    return answer;
  };
}

const systemResolve: Resolve = (hostname) =>
  new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true }, (error, found) => (error ? reject(error) : resolve(found)));
  });

function typeOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}

function listOf(...networks: [string, number][]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of networks) list.addSubnet(address, bits, typeOf(address));
  return list;
}

/** What IANA has given out as global; everything else, also what maps or translates IPv4 addresses, is refused. */
const PUBLIC_IPV6 = listOf(["2000::", 3]);

/** IANA's registries of special addresses, and what clouds serve metadata on outside of them. */
const NOT_PUBLIC = listOf(
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["168.63.129.16", 32],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
);
