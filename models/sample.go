package models

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/alwaysup/coexist/value"
)

// FirstSampleOrder is the key of the first order that SampleOrder makes.
const FirstSampleOrder = 10248

// The key of a customer in the sample is a letter or a digit that says where the key comes from, and a number in base
// 36.
const (
	sampleKeyRange  = 36 * 36 * 36 * 36
	sampleFirsts    = "SBDEFGHIJKLMNOPQRTUVWYZ0123456789" // SampleCustomer uses these; A is left to ALFKI
	sampleBadFirst  = "X"
	customerKeyHead = "C"
)

// MaxSampleCustomers is how many keys SampleCustomer can make: some 55 million.
const MaxSampleCustomers = len(sampleFirsts) * sampleKeyRange

// MaxSampleBadCustomers is how many keys SampleBadCustomer can make.
const MaxSampleBadCustomers = sampleKeyRange

// SampleCustomer returns customer i, counted from 0, of the sample that seed makes. The same arguments give the same
// customer. Every customer can be converted. Keys are unique up to MaxSampleCustomers. The first is ALFKI.
func SampleCustomer(seed uint64, i int) CustomerV1 {
	r := rand.New(rand.NewPCG(seed, uint64(i)<<1)) //nolint:gosec // a sample needs no secret
	place := pick(r, samplePlaces)
	name := pick(r, sampleGivenNames) + " " + pick(r, sampleFamilyNames)
	c := CustomerV1{
		CustomerID: sampleCustomerID(i), CompanyName: pick(r, sampleFamilyNames) + " " + pick(r, sampleTrades),
		ContactName: &name, ContactTitle: maybe(r, 95, pick(r, sampleTitles)),
		Address: new(fmt.Sprintf("%s %d", pick(r, sampleStreets), 1+r.IntN(120))), City: &place.city,
		Region: place.region, PostalCode: maybe(r, 98, fmt.Sprintf("%05d", r.IntN(100_000))), Country: &place.country,
		Phone: maybe(r, 97, fmt.Sprintf("(%d) 555-%04d", 1+r.IntN(99), r.IntN(10_000))),
		Fax:   maybe(r, 75, fmt.Sprintf("(%d) 555-%04d", 1+r.IntN(99), r.IntN(10_000))),
	}
	oddity := 0 // each oddity is drawn on its own
	for i > 0 && oddity < 3 && r.IntN(40) != 0 {
		oddity++
	}
	switch {
	case i == 0:
		c.CompanyName, c.ContactName, c.ContactTitle = "Alfreds Futterkiste", new("Maria Anders"),
			new("Sales Representative")
		c.Address, c.City, c.Region, c.PostalCode, c.Country = new("Obere Str. 57"), new("Berlin"), nil,
			new("12209"), new("Germany")
		c.Phone, c.Fax = new("030-0074321"), new("030-0076545")
	case oddity == 0: // people type two blanks
		c.ContactName = new(strings.Replace(name, " ", "  ", 1))
	case oddity == 1:
		c.ContactName = nil // a title without a name, as V1 may have it
	case oddity == 2:
		c.ContactName, c.ContactTitle = nil, nil
	}
	return c
}

// SampleBadCustomer returns customer i, counted from 0, of those that no mapping can convert: its country does not
// exist. The same arguments give the same customer. SampleCustomer never returns its key.
func SampleBadCustomer(seed uint64, i int) CustomerV1 {
	c := SampleCustomer(seed, i+1) // not the first, whose name and key are ALFKI's
	c.CustomerID, c.Country = sampleKey(sampleBadFirst, int64(i)), new("Atlantis")
	return c
}

func sampleCustomerID(i int) string {
	if i == 0 {
		return "ALFKI"
	}
	first := i / sampleKeyRange
	return sampleKey(sampleFirsts[first:first+1], int64(i%sampleKeyRange))
}

func sampleKey(first string, n int64) string {
	digits := strings.ToUpper(strconv.FormatInt(n, 36))
	return first + strings.Repeat("0", max(0, 4-len(digits))) + digits
}

// CustomerKey makes the key of a customer that is created without one, from a serial number: C0001 to CZZZZ.
func CustomerKey(serial int64) string {
	return sampleKey(customerKeyHead, serial)
}

// SampleOrder returns order i, counted from 0, of the sample that seed makes. The order belongs to one of the first
// customers of SampleCustomer; customers says how many of these there are. The first order is 10248 and belongs to
// ALFKI.
func SampleOrder(seed uint64, i, customers int) OrderV1 {
	r := rand.New(rand.NewPCG(seed, uint64(i)<<1|1)) //nolint:gosec // a sample needs no secret
	customer := r.IntN(customers)
	if i == 0 {
		customer = 0
	}
	of := SampleCustomer(seed, customer)
	day := time.Date(1996, 7, 4, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(700))
	o := OrderV1{
		OrderID: OrderID(FirstSampleOrder + i), CustomerID: &of.CustomerID, EmployeeID: new(1 + r.IntN(9)),
		OrderDate: date(day), RequiredDate: date(day.AddDate(0, 0, 28)), ShipVia: new(1 + r.IntN(3)),
		Freight:  new(cents(r.IntN(20_000))),
		ShipName: &of.CompanyName, ShipAddress: of.Address, ShipCity: of.City, ShipRegion: of.Region,
		ShipPostalCode: of.PostalCode, ShipCountry: of.Country,
	}
	if r.IntN(40) != 0 {
		o.ShippedDate = date(day.AddDate(0, 0, 1+r.IntN(27)))
	}
	product := 0
	for range 1 + r.IntN(5) {
		product += 1 + r.IntN(15)
		o.Details = append(o.Details, OrderDetailV1{
			ProductID: product, UnitPrice: cents(200 + 5*r.IntN(5000)), Quantity: 1 + r.IntN(60),
			Discount: pick(r, []value.Number{"0", "0", "0", "0.05", "0.1", "0.15", "0.2", "0.25"}),
		})
	}
	if i == 0 {
		o.Freight, o.OrderDate, o.RequiredDate, o.ShippedDate = new(value.Number("32.38")), new(Date("1996-07-04")),
			new(Date("1996-08-01")), new(Date("1996-07-16"))
		o.Details = []OrderDetailV1{{11, "14", 12, "0"}, {42, "9.8", 10, "0"}, {72, "34.8", 5, "0"}}
	}
	return o
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func maybe(r *rand.Rand, percent int, s string) *string {
	if r.IntN(100) >= percent {
		return nil
	}
	return &s
}

func date(t time.Time) *Date { return new(Date(t.Format(time.DateOnly))) }

func cents(n int) value.Number { return value.Number(decimal.New(int64(n), -2).String()) }

type samplePlace struct {
	city    string
	region  *string
	country string
}

var (
	samplePlaces = []samplePlace{
		{"Aachen", nil, "Germany"},
		{"Köln", nil, "Germany"},
		{"London", nil, "UK"},
		{"Cowes", new("Isle of Wight"), "UK"},
		{"Luleå", nil, "Sweden"},
		{"Strasbourg", nil, "France"},
		{"Paris", nil, "France"},
		{"Madrid", nil, "Spain"},
		{"México D.F.", nil, "Mexico"},
		{"São Paulo", new("SP"), "Brazil"},
		{"Rio de Janeiro", new("RJ"), "Brazil"},
		{"Portland", new("OR"), "USA"},
		{"Albuquerque", new("NM"), "USA"},
		{"Graz", nil, "Austria"},
		{"Genève", nil, "Switzerland"},
		{"Helsinki", nil, "Finland"},
		{"Cork", new("Co. Cork"), "Ireland"},
		{"Caracas", new("DF"), "Venezuela"},
		{"Århus", nil, "Denmark"},
		{"Warszawa", nil, "Poland"},
		{"Lisboa", nil, "Portugal"},
		{"Montréal", new("Québec"), "Canada"},
	}
	sampleGivenNames = []string{
		"Ana", "Hanna", "Thomas", "Christina", "Frédérique", "Martín", "Elizabeth", "Victoria",
		"Yang", "Pedro", "Sven", "Janine", "Roland", "Aria", "Isabel", "José",
	}
	sampleFamilyNames = []string{
		"Moos", "Hardy", "Berglund", "Citeaux", "Sommer", "Lebihan", "Ashworth", "Chang",
		"Afonso", "Ottlieb", "Labrune", "Mendel", "Cruz", "de Castro", "Saavedra", "O'Hara", "van der Berg",
	}
	sampleTitles = []string{
		"Owner", "Sales Agent", "Sales Manager", "Marketing Manager", "Accounting Manager",
		"Order Administrator", "Owner/Marketing Assistant",
	}
	sampleTrades = []string{
		"Markets", "Delikatessen", "Comércio", "Spezialitäten", "Winkel", "Bros.",
		"Restaurant", "Futter", "Imports  Ltd.", "Gourmets",
	}
	sampleStreets = []string{
		"Walserweg", "Berguvsvägen", "24, place Kléber", "Fauntleroy  Circus", "Rua Orós",
		"Av. Brasil", "Kirchgasse", "King George", "Jardim das rosas", "8 Johnstown Road",
	}
)
