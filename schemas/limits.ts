/**
 * Sizes, counts and times fixed by the protocol or used as defaults (protocol §12).
 * Units are in the names; what config can change is repeated as a key in `config.ts`.
 */

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const kib = 1024
const mib = 1024 * kib

export const limits = {
  /** TCP and UDP, where neither SRV nor a contact names another port: FMTP on a telephone's keys. */
  defaultPort: 3687,

  objectBytes: 256 * kib,
  objectDepth: 32,
  frameBytes: 512 * kib,
  frameBytesBeforeHello: 8 * kib,
  addressBytes: 200,
  localBytes: 64,
  nonceChars: 40,
  recipients: 1000,
  contacts: 8,
  hops: 16,
  parentsDeep: 8,
  patterns: 1000,

  pageObjects: 100,
  pageObjectsMost: 500,
  pageBytes: mib,

  windowFrames: 1024,
  windowBytes: 4 * mib,
  unreadBytes: mib,
  unreadMs: 30 * secondMs,

  helloMs: 10 * secondMs,
  pingAfterMs: 30 * secondMs,
  pongMs: 15 * secondMs,
  idleMs: 10 * minuteMs,
  answerMs: 60 * secondMs,

  dnsMs: 5 * secondMs,
  connectMs: 10 * secondMs,
  nextHostMs: 250,
  datagramBytes: 1200,
  datagramBytesMost: 1452,
  datagramDnsMs: secondMs,
  datagramsPerSecond: 20,
  datagramsBurst: 200,
  datagramsInAll: 2000,
  lookingMs: 2 * secondMs,
  parentCacheMs: 2 * secondMs,
  parentRestMs: minuteMs,
  parentPingMs: 30 * secondMs,
  parentPongMs: 15 * secondMs,
  frontMs: 10 * minuteMs,
  forDomains: 16,
  restMs: 10 * minuteMs,

  clockSkewMs: 300 * secondMs,
  credentialMs: 7 * dayMs,
  credentialRenewMs: dayMs,
  linkMs: dayMs,

  keyLeastMs: 5 * minuteMs,
  keyMostMs: dayMs,
  keyAbsentMs: 5 * minuteMs,
  keyRefreshMs: minuteMs,

  routeMs: 10 * minuteMs,
  userFreshMs: 10 * minuteMs,
  userStaleMs: dayMs,
  userExpiredMs: 30 * dayMs,
  absentMs: minuteMs,

  outboxMs: 5 * dayMs,
  lateMs: 4 * hourMs,
  peersMs: 5 * dayMs,
  peersAtOnce: 20,
  resendMs: 10 * minuteMs,
  placeMs: dayMs,
  placesBackMs: 6 * dayMs,
  restoredMs: 30 * dayMs,

  forwards: 200,
  forwardsInAll: 5000,

  boxBytes: 1024 * mib,
  cacheBytes: 1024 * mib,
  blobBytes: 50 * mib,
  userBlobBytes: 2048 * mib,
  blobPieceBytes: 256 * kib,
  partialBytes: 256 * mib,
  pullMs: 10 * minuteMs,
  pullsAtOnce: 4,
  pullFaults: 5,
  bringMs: 45 * secondMs,
  carryMs: 3 * secondMs,
  wantedMs: 2 * minuteMs,
  carriedAtOnce: 16,
  piecesPerChild: 16,
  piecesPerPeer: 4,
  piecesOfPeers: 32,
  proofMs: minuteMs,
  wayMs: minuteMs,
  freeBytes: 256 * mib,
  diskLookMs: 2 * secondMs,
  fullMs: minuteMs,
  groupsPerUser: 20,
  looseMs: dayMs,
  cacheUsedMs: dayMs,
  upkeepMs: hourMs,
  keepLeastMs: 6 * dayMs,
  devices: 60,
  accountMemoryMs: 5 * secondMs,

  pageEntries: 5000,
  follows: 100,
  guestRequestsPerMinute: 300,
  triesPerMinute: 10,
  triesPerDay: 50,
  trySlowMs: 2 * secondMs,
  sessionsPerPeer: 8,
  sessionRetryMs: minuteMs,
  connectionsPerHost: 200,
  connections: 2000,
  newRecipientsPerDay: 200,
  unknownPeerPerSecond: 20,
  unknownPeerBurst: 200,
  newPeerMs: dayMs,
  newPeerShare: 4,
  lookUpFirstMs: 2 * secondMs,
  breakerFailures: 5,
  breakerMs: 10 * minuteMs,
} as const
