// Package models is the sample domain, Northwind's customers and orders: V1 as the world knows its tables, V2 as a
// drastic change of them, and the mappings between. Everything here is pure. An entity of your own takes the place of
// one of these.
package models
