/**
 * Every key of fmtp.conf, declared once: type, bounds, default, explanation with its unit.
 * validate.ts checks and fills a config with it, and `npm run gen` writes fmtp.conf.example from it.
 */

import type { Static, TProperties } from 'typebox'
import { limits } from './limits.ts'
import type { FormatName } from './text/formats.ts'
import { Type } from './type.ts'

const kib = 1024
const mib = 1024 * kib
const gib = 1024 * mib
const pathChars = 4096

const text = (format: FormatName, maxLength: number) => Type.String({ format, maxLength })

/** A list of short texts of one format. */
function list(format: FormatName, options: { default: string[]; maxItems: number; description: string }) {
  return Type.Array(text(format, 253), options)
}

function file(description: string) {
  return Type.String({ default: '', maxLength: pathChars, description })
}

function count(value: number, minimum: number, maximum: number, description: string) {
  return Type.Integer({ default: value, minimum, maximum, description })
}

function flag(value: boolean, description: string) {
  return Type.Boolean({ default: value, description })
}

/** A `[table]`: left out, it is there with the defaults of its keys. */
function table<P extends TProperties>(description: string, properties: P) {
  return Type.Object(properties, { additionalProperties: false, default: {}, description })
}

const domain = Type.Object(
  {
    name: Type.String({
      format: 'domain' satisfies FormatName,
      // An address of one letter before the @ must still fit.
      maxLength: limits.addressBytes - 2,
      description: 'The domain, in lower case; outside ASCII in its xn-- form.',
      examples: ['poe.net'],
    }),
  },
  { additionalProperties: false },
)

export const configSchema = Type.Object(
  {
    data: Type.String({
      default: 'data',
      minLength: 1,
      maxLength: pathChars,
      description: 'Folder of the store and the keys, relative to this file.',
    }),
    kinds: file(
      'Folder of kinds of objects that this server knows besides those of the protocol, relative to this file: one JSON Schema each, KIND.json. Empty: none.',
    ),
    domain: Type.Array(domain, {
      minItems: 1,
      maxItems: 1000,
      expected: '1 to 1000 tables [[domain]], each with a name',
      description:
        'A domain whose users this server serves. Repeat the table for each; at least one is needed.',
    }),
    parents: list('parent', {
      default: [],
      maxItems: 16,
      description:
        'Parents: domains whose servers look up for this one, over a connection that it keeps open to each. "poe.net" for all domains, "*.lenore.org=poe.net" for some; the first that fits counts.',
    }),
    children: list('domain-pattern', {
      default: [],
      maxItems: 1000,
      description:
        'Children: domains for whose servers this one looks up, and which it reaches over the connections that they open; * stands for any part, as in ["*.poe.net"].',
    }),
    listen: table('Where the server can be reached. Port 0 lets the system choose one.', {
      tcp: list('endpoint', {
        default: ['127.0.0.1:3687'],
        maxItems: 16,
        description:
          'Addresses and ports of FMTP over TLS, for other servers and clients. On all addresses: "0.0.0.0:3687" and "[::]:3687".',
      }),
      http: list('endpoint', {
        default: ['127.0.0.1:8080'],
        maxItems: 16,
        description:
          'Addresses and ports of pages, API and WebSocket. On an address other than loopback, http.certificate or http.behindProxy is needed.',
      }),
      udp: list('endpoint', {
        default: [],
        maxItems: 16,
        description:
          'Addresses and ports at which public objects are given by UDP, like "0.0.0.0:3687". DNS must name them: SRV at _fmtp._udp.DOMAIN. Empty: none.',
      }),
      hosts: list('host', {
        default: [],
        maxItems: 1000,
        description:
          'Host names under which clients open WebSocket connections, besides the domains and that of http.originUrl.',
      }),
      contacts: list('route', {
        default: [],
        maxItems: 100,
        description:
          'Where servers of some networks reach this one better than by DNS: network, tcp or wss, host with port, and a priority if there are several, like ["10.0.0.0/8 tcp 10.0.0.5:3687 0"]. Who asks from there for a user or a domain of this server is told, and tries them first for ten minutes. For a child, whose objects this server gives, with its domain before it: "tales.poe.net=10.0.0.0/8 tcp 10.0.7.5:3687".',
      }),
    }),
    http: table('Pages, API and WebSocket.', {
      behindProxy: flag(
        false,
        'True: a proxy in front speaks HTTPS with the world, so plain HTTP is taken on any address.',
      ),
      certificate: file('PEM file of the certificate chain for HTTPS. Empty: plain HTTP.'),
      key: file('PEM file of the private key that belongs to the certificate.'),
      maxConnections: count(10_000, 1, 1_000_000, 'Connections open at once; more are closed unread.'),
      requestTimeoutMs: count(
        600_000,
        100,
        3_600_000,
        'Time that a request may take to arrive whole, also that of a large blob, in milliseconds.',
      ),
      headersTimeoutMs: count(
        10_000,
        100,
        3_600_000,
        'Time that the headers of a request may take to arrive, in milliseconds.',
      ),
      originUrl: Type.String({
        default: '',
        format: 'origin-or-empty' satisfies FormatName,
        maxLength: 300,
        description:
          'URL at which people reach this server, like https://poe.net, without a path. Empty: made from listen.http.',
      }),
    }),
    dns: table('How other domains are looked up.', {
      servers: list('name-server', {
        default: [],
        maxItems: 8,
        description:
          "Name servers that are asked, with or without port. Empty: the system's. That an answer was checked with DNSSEC is believed only of a name server on loopback.",
      }),
      requireSecure: flag(
        false,
        'True: the keys of other domains are believed only where a name server on loopback has checked them with DNSSEC. Domains that do not sign their zone can not be reached then.',
      ),
    }),
    guard: table('What this server may dial. Private and loopback addresses are refused.', {
      allow: list('network', {
        default: [],
        maxItems: 1000,
        description: 'Networks that may be dialled although they are private, like ["10.0.0.0/8"].',
      }),
    }),
    tls: table('Outgoing TLS connections.', {
      ca: file(
        "PEM file of authorities that are trusted for outgoing wss, besides the system's. Empty: none.",
      ),
    }),
    log: table('What is written to standard error.', {
      level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error'], {
        default: 'info',
        description: 'The least important lines that are written: trace, debug, info, warn or error.',
      }),
      format: Type.Enum(['auto', 'json', 'pretty'], {
        default: 'auto',
        description: 'json: one object a line. pretty: for people. auto: pretty on a terminal, else json.',
      }),
    }),
    limits: table('Sizes and counts that this server takes. Sizes are in bytes.', {
      objectBytes: count(
        limits.objectBytes,
        4 * kib,
        16 * mib,
        'The largest object, in bytes; less than frameBytes.',
      ),
      frameBytes: count(
        limits.frameBytes,
        limits.frameBytesBeforeHello,
        64 * mib,
        'The largest frame, in bytes.',
      ),
      recipients: count(limits.recipients, 1, 100_000, 'Recipients of one describe.'),
      boxBytes: count(limits.boxBytes, mib, 1024 * 1024 * gib, "Room in one user's box, in bytes."),
      cacheBytes: count(
        limits.cacheBytes,
        64 * kib,
        1024 * 1024 * gib,
        'Room for objects of other domains that nobody here has in a box or among favourites, and for blobs that are passed on to children or from them, in bytes; the least recently used go first. No larger blob is passed on.',
      ),
      relayBytes: count(
        limits.relayBytes,
        mib,
        1024 * gib,
        'Room for what waits here to be passed on for one child or to it, in bytes.',
      ),
      blobBytes: count(limits.blobBytes, 64 * kib, 1024 * gib, 'The largest blob, in bytes.'),
      userBlobBytes: count(
        limits.userBlobBytes,
        64 * kib,
        1024 * 1024 * gib,
        'Room for the blobs that one user uploads, in bytes.',
      ),
      freeBytes: count(
        limits.freeBytes,
        0,
        1024 * 1024 * gib,
        'Room on the disk of the data folder below which nothing new is taken, in bytes; 0: the disk may fill up.',
      ),
      groupsPerUser: count(
        limits.groupsPerUser,
        0,
        100_000,
        'Groups that one user may make; what was deleted counts.',
      ),
      windowFrames: count(
        limits.windowFrames,
        1,
        65_536,
        'Frames that may be unanswered at once on a connection.',
      ),
      windowBytes: count(
        limits.windowBytes,
        limits.frameBytesBeforeHello,
        gib,
        'Bytes of the frames that may be unanswered at once on a connection; at least frameBytes.',
      ),
      sessionsPerPeer: count(
        limits.sessionsPerPeer,
        1,
        10_000,
        'Connections open at once from one domain that no local user wrote to or lists.',
      ),
      connectionsPerHost: count(
        limits.connectionsPerHost,
        1,
        1_000_000,
        'Connections open at once from one IP address, or one /64 of IPv6.',
      ),
      connections: count(
        limits.connections,
        1,
        1_000_000,
        'Connections open at once with other servers and their users; the one that was of no use for longest goes first.',
      ),
      idleMs: count(
        limits.idleMs,
        100,
        86_400_000,
        'Time after which a connection over which nothing went is closed, in milliseconds; those of devices of users here stay.',
      ),
      pingAfterMs: count(
        limits.pingAfterMs,
        100,
        3_600_000,
        'Silence after which the other side of a connection is asked whether it is there, in milliseconds.',
      ),
      pongMs: count(
        limits.pongMs,
        100,
        600_000,
        'Time that it then has before the connection is given up, in milliseconds.',
      ),
      newRecipientsPerDay: count(
        limits.newRecipientsPerDay,
        1,
        1_000_000,
        'Recipients to whom one user may write for the first time on one day (UTC).',
      ),
      unknownPeerPerSecond: count(
        limits.unknownPeerPerSecond,
        1,
        1_000_000,
        'Objects a second from a domain that no local user wrote to or lists.',
      ),
      unknownPeerBurst: count(
        limits.unknownPeerBurst,
        1,
        10_000_000,
        'Objects that such a domain may send at once before that rate holds.',
      ),
      exempt: list('network', {
        default: [],
        maxItems: 1000,
        description: 'Networks for which the rates do not hold, for trusted neighbours and measurements.',
      }),
    }),
    block: table('Who is not spoken with.', {
      domains: list('domain-pattern', {
        default: [],
        maxItems: 10_000,
        description: 'Domains that are refused; * stands for any part, as in ["*.lenore.org"].',
      }),
    }),
  },
  { additionalProperties: false },
)

/** Readonly at all depths. */
export type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T

/** A complete configuration: every key is there, defaults filled in. */
export type Config = DeepReadonly<Static<typeof configSchema>>
