// Package shape holds structs as tables, without SQL: the columns and child tables that a model's tags describe, the
// rows of an aggregate, what tells two aggregates apart, and what a column can hold. It asks no database: others store
// what a database says of a column, as a CatalogColumn.
package shape
