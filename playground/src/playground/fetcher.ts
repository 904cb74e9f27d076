import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';

/**
 * Speaks to the server that served the page: POST for queries and mutations, a WebSocket
 * (graphql-transport-ws) for subscriptions, both at `graphql` beside the page, so that a proxy
 * may put the server under a path of its own.
 *
 * A subscription opens its own socket. That way the headers of the header editor, credentials
 * for instance, reach it as connection parameters, as they are at that moment.
 */
export function createFetcher(page: { href: string }): Fetcher {
  const http = new URL('graphql', page.href);
  const socket = new URL(http);
  socket.protocol = http.protocol === 'https:' ? 'wss:' : 'ws:';
  return createGraphiQLFetcher({
    url: http.href,
    subscriptionUrl: socket.href,
    // The server answers in one piece: there is no @defer and no @stream.
    enableIncrementalDelivery: false,
  });
}
