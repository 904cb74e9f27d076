// Package models is the sample domain, Northwind's customers and orders. It holds V1, which are Northwind's well-known
// tables, V2, which is very different, and the mappings between them. Everything here is pure. An entity of your own
// takes the place of one of these.
package models
