/** The suite of all channels over each transport there is. */
import { channelSuite } from '../suites/channel.ts'
import { rawPair, rawTls, rawWebSocket } from '../support/raw.ts'

channelSuite('tcp', ({ address, port, domain }) => rawTls(address, port, domain))
channelSuite('websocket', ({ origin }) => rawWebSocket(origin))
channelSuite('pair', async ({ running }) => rawPair(channel => running.serve(channel)))
