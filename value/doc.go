// Package value holds types for columns that Go has no exact type for. They are exact in both directions: as the
// database has them, in JSON, and in GraphQL through gqlgen. The package knows no table and no database.
package value
