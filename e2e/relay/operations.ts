import { graphql } from 'relay-runtime';

// Read by relay-compiler, which makes the artifacts that relay.ts runs.

export const customer = graphql`
  fragment operations_customer on CustomerV2 @refetchable(queryName: "operationsCustomerRefetchQuery") {
    id
    name
    contacts {
      displayName
    }
  }
`;

export const list = graphql`
  fragment operations_list on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 50 }, cursor: { type: "String" })
  @refetchable(queryName: "operationsPageQuery") {
    customersV2(first: $count, after: $cursor) @connection(key: "operations_customersV2") {
      edges {
        node {
          id
          customerId
          ...operations_customer
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;

export const listQuery = graphql`
  query operationsListQuery {
    ...operations_list
  }
`;

export const readQuery = graphql`
  query operationsReadQuery($customerId: ID!) {
    customerV2(customerId: $customerId) {
      id
      name
    }
  }
`;

export const rename = graphql`
  mutation operationsRenameMutation($input: UpdateCustomerV2Input!) {
    updateCustomerV2(input: $input) {
      customer {
        id
        name
      }
    }
  }
`;

export const remove = graphql`
  mutation operationsRemoveMutation($customerId: ID!) {
    deleteCustomerV2(customerId: $customerId) {
      deletedKey
    }
  }
`;

export const watch = graphql`
  subscription operationsWatchSubscription($id: ID!) {
    runProgress(id: $id) {
      id
      status
      done
      startedAt
      total
    }
  }
`;
