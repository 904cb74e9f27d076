package main

// insertSelect fills V2's tables by the database alone, in one transaction of one session, which waits for the disk no
// more than a sweep does. It splits names more roughly than the mapping does; the rows are as many and as large.
var insertSelect = map[string][]string{
	"CUSTOMER": {
		"SET synchronous_commit = off", "BEGIN",
		`INSERT INTO customers_v2 SELECT customer_id, company_name, 1, 1, 1, false, 'SWEEP', now(), 0, 0 FROM customers`,
		`INSERT INTO customer_v2_contacts SELECT customer_id, 0, coalesce(contact_name, ''), split_part(coalesce(contact_name, ''), ' ', 1),
			substr(coalesce(contact_name, ''), strpos(coalesce(contact_name, ''), ' ') + 1), contact_title, contact_name IS NULL, false FROM customers
			WHERE contact_name IS NOT NULL OR contact_title IS NOT NULL`,
		`INSERT INTO customer_v2_addresses SELECT customer_id, 0, 'MAIN', address, city, region, postal_code, country,
			upper(left(country, 2)), false FROM customers WHERE coalesce(address, city, region, postal_code, country)
			IS NOT NULL`,
		`INSERT INTO customer_v2_phones SELECT c.customer_id, p.position, p.kind, p.number, false FROM customers c,
			LATERAL (VALUES (0, 'VOICE', c.phone), (1, 'FAX', c.fax)) p(position, kind, number) WHERE p.number IS NOT NULL`,
		"COMMIT",
	},
	"ORDER": {
		"SET synchronous_commit = off", "BEGIN",
		`INSERT INTO orders_v2 SELECT order_id, customer_id, employee_id, order_date, required_date, shipped_date, NULL, NULL,
			NULL, ship_via, ship_name, ship_address, ship_city, ship_region, ship_postal_code, ship_country,
			upper(left(ship_country, 2)), CAST(freight AS numeric), NULL, NULL, 1, 1, 1, false, 'SWEEP', now(), 0, 0
			FROM orders`,
		`INSERT INTO order_v2_lines SELECT order_id, row_number() OVER (PARTITION BY order_id ORDER BY product_id) - 1,
			product_id, CAST(unit_price AS numeric), quantity, CAST(discount AS numeric), NULL, NULL FROM order_details`,
		"COMMIT",
	},
}

// insertOnSQLiteStatements is insertSelect for SQLite.
var insertOnSQLiteStatements = []string{
	`INSERT INTO customers_v2 SELECT customer_id, company_name, 1, 1, 1, false, 'SWEEP', datetime('now'), 0, 0
		FROM customers`,
	`INSERT INTO customer_v2_contacts SELECT customer_id, 0, coalesce(contact_name, ''),
		substr(coalesce(contact_name, ''), 1, instr(coalesce(contact_name, ''), ' ')),
		substr(coalesce(contact_name, ''), instr(coalesce(contact_name, ''), ' ') + 1), contact_title, contact_name IS NULL,
		false FROM customers WHERE contact_name IS NOT NULL OR contact_title IS NOT NULL`,
	`INSERT INTO customer_v2_addresses SELECT customer_id, 0, 'MAIN', address, city, region, postal_code, country,
		upper(substr(country, 1, 2)), false FROM customers
		WHERE coalesce(address, city, region, postal_code, country) IS NOT NULL`,
	`INSERT INTO customer_v2_phones SELECT customer_id, 0, 'VOICE', phone, false FROM customers WHERE phone IS NOT NULL`,
	`INSERT INTO customer_v2_phones SELECT customer_id, 1, 'FAX', fax, false FROM customers WHERE fax IS NOT NULL`,
}
