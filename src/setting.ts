import { isIP } from "node:net";
import { resolve } from "node:path";

/** One environment variable: its name, what it is for, what is used without it, and how it is read. */
export interface Setting<T> {
  env: string;
  help: string;
  fallback: T;
  /** Printed as `***`, or for a URL without its password. */
  secret?: boolean;
  /** @throws {Error} with a message that names the variable, what was expected and what came. */
  read(raw: string): T;
}

export function text(env: string, fallback: string, help: string): Setting<string> {
  return { env, help, fallback, read: (raw) => raw };
}

export function path(env: string, fallback: string, help: string): Setting<string> {
  return { env, help, fallback: fallback && resolve(fallback), read: (raw) => resolve(raw) };
}

/** Texts with commas between, each of the shape that `each` says. */
export function list(env: string, each: RegExp, help: string): Setting<readonly string[]> {
  return separated(env, (text) => each.test(text), help, help);
}

/** Addresses, and networks as 10.0.0.0/8, with commas between. */
export function networks(env: string, help: string): Setting<readonly string[]> {
  return separated(env, isNetwork, "addresses or networks such as 10.0.0.0/8", help);
}

function separated(
  env: string,
  is: (text: string) => boolean,
  expected: string,
  help: string,
): Setting<readonly string[]> {
  return {
    env,
    help,
    fallback: [],
    read(raw) {
      const texts = raw.split(",").map((text) => text.trim());
      const wrong = texts.find((text) => !is(text));
      if (wrong === undefined) return texts;
      throw new Error(`${env}: expected ${expected}, got ${quoted(wrong)}`);
    },
  };
}

/** A whole number with a unit in its name and a range in its declaration. */
export function int(env: string, fallback: number, min: number, max: number, help: string): Setting<number> {
  return {
    env,
    help,
    fallback,
    read(raw) {
      const value = Number(raw);
      if (Number.isInteger(value) && value >= min && value <= max) return value;
      throw new Error(`${env}: expected a whole number ${min} to ${max}, got ${JSON.stringify(raw)}`);
    },
  };
}

/** Where a server is, with one of these schemes; it may hold a password, and is never quoted. */
export function serverUrl(env: string, schemes: readonly string[], help: string): Setting<string> {
  return {
    env,
    help,
    fallback: "",
    secret: true,
    read(raw) {
      if (HOSTS.test(raw)) {
        throw new Error(
          `${env}: expected one host, got a list with commas: let a name or a proxy, such as HAProxy, lead to the primary; it is not shown`,
        );
      }
      // one that names a socket in its query has no host
      const known = schemes.some((scheme) => raw.toLowerCase().startsWith(`${scheme}://`));
      if (known && URL.canParse(raw.replace("@/", "@host/"))) return raw;
      const begins = schemes.map((scheme) => `${scheme}://`).join(", ");
      throw new Error(
        `${env}: expected a URL that begins with one of ${begins}, in which the password is percent-encoded, such as / as %2F; it is not shown`,
      );
    },
  };
}

/** A comma between the last @ and what comes after the host. */
const HOSTS = /^[a-z]+:\/\/(?:[^/?]*@)?[^@/?]*,[^@/?]*(?:[/?]|$)/i;

/** Where a server of the web is, without user and password, as such a server asks for other proof. */
export function webUrl(env: string, help: string): Setting<string> {
  return {
    env,
    help,
    fallback: "",
    read(raw) {
      const url = URL.canParse(raw) ? new URL(raw) : undefined;
      if (url && /^https?:$/.test(url.protocol) && !url.username && !url.password) return raw;
      throw new Error(
        `${env}: expected an https:// or http:// URL without user and password, got ${quoted(raw)}`,
      );
    },
  };
}

/** Scheme, host and port of a web address, and nothing more. */
export function origin(env: string, help: string): Setting<string> {
  return {
    env,
    help,
    fallback: "",
    read(raw) {
      const url = URL.canParse(raw) ? new URL(raw) : undefined;
      if (url && /^https?:$/.test(url.protocol) && raw.replace(/\/$/, "") === url.origin) return url.origin;
      throw new Error(`${env}: expected an address such as https://photos.example.com, got ${quoted(raw)}`);
    },
  };
}

/** What came, without what may be a password in it. */
function quoted(raw: string): string {
  return JSON.stringify(raw.replace(/\/\/.*@/, "//***@"));
}

function isNetwork(text: string): boolean {
  const [, address = "", bits] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && (bits === undefined || Number(bits) <= (version === 4 ? 32 : 128));
}

export function choice<T extends string>(
  env: string,
  fallback: T,
  options: readonly T[],
  help: string,
): Setting<T> {
  return {
    env,
    help: `${help} (${options.join(", ")})`,
    fallback,
    read(raw) {
      const found = options.find((option) => option === raw);
      if (found !== undefined) return found;
      throw new Error(`${env}: expected one of ${options.join(", ")}, got ${JSON.stringify(raw)}`);
    },
  };
}

export function secret<T>(setting: Setting<T>): Setting<T> {
  return { ...setting, secret: true };
}
