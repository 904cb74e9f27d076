import { GraphQLClient } from 'graphql-request';

import { type FragmentType, graphql, useFragment as read } from './gql/index.js';

const CustomerRow = graphql(`
  fragment CustomerRow on CustomerV1 {
    customerId
    companyName
    contactName
    city
    country
    phone
  }
`);

const Customers = graphql(`
  query Customers($first: Int!, $after: String) {
    customers: customersV1(first: $first, after: $after) {
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
    customer.companyName,
    customer.contactName ?? '',
    customer.city ?? '',
    customer.country ?? '',
    customer.phone ?? '',
  ].join(' | ');
}

/** One page of the list of customers, and the cursor of the next. */
export async function page(url: string, first: number, after?: string | null) {
  const client = new GraphQLClient(url, {
    headers: { 'x-client-name': 'customer-list', 'x-client-version': '1.0.0' },
  });
  const { customers } = await client.request(Customers, { first, after });
  const lines = customers.nodes.filter((node) => node !== null).map(line);
  return { lines, next: customers.pageInfo.hasNextPage ? customers.pageInfo.endCursor : null };
}
