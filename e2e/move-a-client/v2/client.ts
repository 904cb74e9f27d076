import { GraphQLClient } from 'graphql-request';

import { type FragmentType, graphql, useFragment as read } from './gql/index.js';

const CustomerRow = graphql(`
  fragment CustomerRow on CustomerV2 {
    customerId
    name
    contacts {
      displayName
    }
    addresses {
      locality
      country
    }
    phones {
      kind
      number
    }
  }
`);

const Customers = graphql(`
  query Customers($first: Int!, $after: String) {
    customers: customersV2(first: $first, after: $after) {
      nodes {
        ...CustomerRow
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

function line(row: FragmentType<typeof CustomerRow>): string {
  const customer = read(CustomerRow, row);
  return [
    customer.customerId,
    customer.name,
    customer.contacts[0]?.displayName ?? '',
    customer.addresses[0]?.locality ?? '',
    customer.addresses[0]?.country ?? '',
    customer.phones.find(({ kind }) => kind === 'VOICE')?.number ?? '',
  ].join(' | ');
}

/** One page of the list of customers, and the cursor of the next. */
export async function page(url: string, first: number, after?: string | null) {
  const client = new GraphQLClient(url, {
    headers: { 'x-client-name': 'customer-list', 'x-client-version': '2.0.0' },
  });
  const { customers } = await client.request(Customers, { first, after });
  const lines = customers.nodes.filter((node) => node !== null).map(line);
  return { lines, next: customers.pageInfo.hasNextPage ? customers.pageInfo.endCursor : null };
}
