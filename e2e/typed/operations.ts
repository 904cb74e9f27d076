import { graphql } from './gql/index.js';

/** Typed documents of every kind of operation: whoever uses them gets the types of their variables and results. */

export const OrderParts = graphql(`
  fragment OrderParts on OrderV2 {
    id
    orderId
    status
    note
    total {
      amount
      currencyCode
    }
    copy {
      origin
      migratedAt
    }
  }
`);

export const ReadOrder = graphql(`
  query ReadOrder($id: ID!) {
    node(id: $id) {
      __typename
      ...OrderParts
    }
  }
`);

export const FindOrders = graphql(`
  query FindOrders($first: Int!, $orderBy: OrderOrderBy, $filter: OrderFilter) {
    ordersV2(first: $first, orderBy: $orderBy, filter: $filter) {
      totalCount
      nodes {
        ...OrderParts
      }
    }
  }
`);

export const NoteOrder = graphql(`
  mutation NoteOrder($input: UpdateOrderV2Input!) {
    updateOrderV2(input: $input) {
      order {
        ...OrderParts
      }
    }
  }
`);

export const WatchRun = graphql(`
  subscription WatchRun($id: ID!) {
    runProgress(id: $id) {
      status
      done
      total
      startedAt
    }
  }
`);
