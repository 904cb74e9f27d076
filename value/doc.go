// Package value holds the types of columns that Go has none for, exact in both directions: as the database has them, in
// JSON, and in GraphQL by gqlgen. It knows no table and no database.
package value
