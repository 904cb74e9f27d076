// Package shape holds structs as tables, without SQL: the columns and child tables that a model's tags describe, the
// rows of an aggregate, what tells two aggregates apart, and what a column can hold. It asks no database: what one says
// of a column is a CatalogColumn, which others put there.
package shape
