package models_test

import (
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

var customerLaws = repotest.Laws[models.CustomerV1, models.CustomerV2]{
	Mapping: models.CustomerMapping{},
	V1:      drawCustomerV1,
	V2:      drawCustomerV2,
	Refines: map[string][]string{
		"customerId": {"customerId"}, "companyName": {"name"}, "contactName": {"contacts"},
		"contactTitle": {"contacts"},
		"address":      {"addresses"}, "city": {"addresses"}, "region": {"addresses"}, "postalCode": {"addresses"},
		"country": {"addresses"},
		"phone":   {"phones"}, "fax": {"phones"},
	},
}

var orderLaws = repotest.Laws[models.OrderV1, models.OrderV2]{
	Mapping: models.OrderMapping{},
	V1:      drawOrderV1,
	V2:      drawOrderV2,
	Refines: map[string][]string{
		"orderId": {"orderId"}, "customerId": {"customerId"}, "employeeId": {"employeeId"},
		"orderDate": {"placedOn", "placedOnSpelling"}, "requiredDate": {"requiredBy", "requiredBySpelling"},
		"shippedDate": {"shippedOn", "shippedOnSpelling"}, "shipVia": {"shipment.carrierId"},
		"freight": {"shipment.freight", "shipment.freightSpelling"}, "shipName": {"shipment.recipient"},
		"shipAddress": {"shipment.address.street"}, "shipCity": {"shipment.address.locality"},
		"shipRegion":     {"shipment.address.region"},
		"shipPostalCode": {"shipment.address.postalCode"}, "shipCountry": {
			"shipment.address.country",
			"shipment.address.countryCode",
		}, "details": {"lines"},
	},
}

func TestCustomerLaws(t *testing.T) { customerLaws.Check(t) }
func TestOrderLaws(t *testing.T)    { orderLaws.Check(t) }

func FuzzCustomerMapping(f *testing.F) { customerLaws.Fuzz(f) }
func FuzzOrderMapping(f *testing.F)    { orderLaws.Fuzz(f) }

// text is what people type, and what they should not.
var text = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", " ", "Maria Anders", "Isabel de Castro", "Owner/Marketing Assistant", "Bon  app'",
		"Århus", "O'Hara", " x ", "\t", "😀",
	}),
	rapid.String(),
)

var country = rapid.OneOf(rapid.SampledFrom([]string{
	"UK", "USA", "Germany", "Venezuela", "United Kingdom", "",
	"Atlantis", "uk",
}), rapid.String())

func optional[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	return rapid.Ptr(g, true).Draw(t, label)
}

func drawCustomerV1(t *rapid.T) models.CustomerV1 {
	return models.CustomerV1{
		CustomerID: "ALFKI", CompanyName: text.Draw(t, "companyName"), ContactName: optional(t, text, "contactName"),
		ContactTitle: optional(t, text, "contactTitle"),
		Address:      optional(t, text, "address"), City: optional(t, text, "city"),
		Region:     optional(t, text, "region"),
		PostalCode: optional(t, text, "postalCode"),
		Country:    optional(t, country, "country"), Phone: optional(t, text, "phone"), Fax: optional(t, text, "fax"),
	}
}

func drawPostal(t *rapid.T) models.Postal {
	p := models.Postal{
		Street: optional(t, text, "street"), Locality: optional(t, text, "locality"),
		Region:     optional(t, text, "region"),
		PostalCode: optional(t, text, "postalCode"), Country: optional(t, country, "country"),
	}
	if rapid.Bool().Draw(t, "completed") {
		return p.Completed()
	}
	p.CountryCode = optional(t, rapid.SampledFrom([]string{"GB", "DE", "ZZ", ""}), "countryCode")
	return p
}

func drawCustomerV2(t *rapid.T) models.CustomerV2 {
	return models.CustomerV2{
		CustomerID: "ALFKI", Name: text.Draw(t, "name"),
		Contacts: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.Contact {
			return models.Contact{
				DisplayName: text.Draw(t, "displayName"), GivenName: text.Draw(t, "givenName"),
				FamilyName: text.Draw(t, "familyName"),
				Title:      optional(t, text, "title"), Nameless: rapid.IntRange(0, 3).Draw(t, "nameless") == 0,
				V2Only: rapid.IntRange(0, 3).Draw(t, "v2Only") == 0,
			}
		}), 0, 3).Draw(t, "contacts"),
		Addresses: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.Address {
			return models.Address{
				Kind: rapid.SampledFrom([]models.AddressKind{
					models.AddressMain, models.AddressBilling,
					models.AddressShipping,
				}).Draw(t, "kind"),
				Postal: drawPostal(t), V2Only: rapid.IntRange(0, 3).Draw(t, "v2Only") == 0,
			}
		}), 0, 3).Draw(t, "addresses"),
		Phones: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.Phone {
			return models.Phone{
				Kind: rapid.SampledFrom([]models.PhoneKind{
					models.PhoneVoice, models.PhoneFax,
					models.PhoneMobile,
				}).Draw(t, "kind"),
				Number: text.Draw(t, "number"), V2Only: rapid.IntRange(0, 3).Draw(t, "v2Only") == 0,
			}
		}), 0, 4).Draw(t, "phones"),
	}
}

var (
	day = rapid.OneOf(rapid.SampledFrom([]models.Date{
		"1996-07-04", "1996-7-4", "infinity", "",
		"1996-07-04 00:00:00",
	}), rapid.Map(rapid.IntRange(1, 28),
		func(d int) models.Date { return models.Date(fmt.Sprintf("2024-02-%02d", d)) }))
	amount = rapid.OneOf(rapid.SampledFrom([]value.Number{
		"0", "-0", "9.8", "9.80000019", "9.800000190734863", "32.38",
		"9.800001", "0.005", "0.30000000000000004", "1234567.89", number("1e38"), "NaN", "-Infinity", "x",
	}),
		rapid.Map(rapid.IntRange(0, 10_000_000), inCents), rapid.Map(rapid.Float64(), inFull))
	discount = rapid.OneOf(rapid.SampledFrom([]value.Number{
		"0", "-0", "0.05", "0.15", "0.150000006", "0.25", "1", "1.5",
		"-0.1",
	}), rapid.Map(rapid.Float64Range(0, 1), inFull))
	small = rapid.IntRange(-3, 40_000)
	exact = rapid.OneOf(rapid.SampledFrom([]models.Decimal{
		"0", "9.8", "32.38", "-1", "12345678901234567.89",
		"0.30000000000000004",
	}), rapid.Map(rapid.IntRange(0, 20_000_000),
		func(n int) models.Decimal { return models.Decimal(inCents(n)) }))
	spelling = rapid.SampledFrom([]value.Number{"9.80000019", "-0", "0.150000006", "NaN"})
	part     = rapid.SampledFrom([]models.Decimal{"0", "0.05", "0.15", "1", "0.123456789012", "2", "-0.1"})
)

func inCents(n int) value.Number { return number(fmt.Sprintf("%d.%02d", n/100, n%100)) }

func inFull(f float64) value.Number { return number(strconv.FormatFloat(f, 'e', -1, 64)) }

func number(text string) value.Number {
	n, err := value.ParseNumber(text)
	if err != nil {
		panic(err)
	}
	return n
}

func drawOrderV1(t *rapid.T) models.OrderV1 {
	o := models.OrderV1{
		OrderID: 10248, CustomerID: optional(t, text, "customerId"), EmployeeID: optional(t, small, "employeeId"),
		OrderDate: optional(t, day, "orderDate"), RequiredDate: optional(t, day, "requiredDate"),
		ShippedDate: optional(t, day, "shippedDate"),
		ShipVia:     optional(t, small, "shipVia"), Freight: optional(t, amount, "freight"),
		ShipName:    optional(t, text, "shipName"),
		ShipAddress: optional(t, text, "shipAddress"), ShipCity: optional(t, text, "shipCity"),
		ShipRegion:     optional(t, text, "shipRegion"),
		ShipPostalCode: optional(t, text, "shipPostalCode"), ShipCountry: optional(t, country, "shipCountry"),
	}
	product := 0
	for range rapid.IntRange(0, 4).Draw(t, "details") { // by product, as the database gives them
		product += rapid.IntRange(1, 3).Draw(t, "product")
		o.Details = append(o.Details, models.OrderDetailV1{
			ProductID: product, UnitPrice: amount.Draw(t, "unitPrice"), Quantity: small.Draw(t, "quantity"),
			Discount: discount.Draw(t, "discount"),
		})
	}
	return o
}

func drawOrderV2(t *rapid.T) models.OrderV2 {
	return models.OrderV2{
		OrderID: 10248, CustomerID: optional(t, text, "customerId"), EmployeeID: optional(t, small, "employeeId"),
		Note:     optional(t, text, "note"),
		PlacedOn: optional(t, day, "placedOn"), RequiredBy: optional(t, day, "requiredBy"),
		ShippedOn:        optional(t, day, "shippedOn"),
		PlacedOnSpelling: optional(t, day, "placedOnSpelling"),
		Shipment: models.Shipment{
			FreightSpelling: optional(t, spelling, "freightSpelling"),
			CarrierID:       optional(t, small, "carrierId"), Recipient: optional(t, text, "recipient"),
			Address: drawPostal(t), Freight: optional(t, exact, "freight"),
		},
		Lines: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.OrderLine {
			return models.OrderLine{
				ProductID: rapid.IntRange(1, 9).Draw(t, "product"), UnitPrice: exact.Draw(t, "unitPrice"),
				Quantity: small.Draw(t, "quantity"), Discount: part.Draw(t, "discount"),
				UnitPriceSpelling: optional(t, spelling, "unitPriceSpelling"), DiscountSpelling: optional(t, spelling,
					"discountSpelling"),
			}
		}), 0, 4).Draw(t, "lines"),
	}
}
