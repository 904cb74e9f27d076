package models

import (
	"cmp"
	"math/big"
	"slices"
	"strconv"

	"github.com/alwaysup/coexist/repo"
)

// OrderMapping converts orders. It fails for an unknown country, for a date that is none, for a price with fractions of a
// cent, for an amount that is not a number, and for a discount that is not from 0 to 1.
type OrderMapping struct{}

// Version is 1.
func (OrderMapping) Version() int { return 1 }

func (v1 OrderV1) postal() postalV1 {
	return postalV1{v1.ShipAddress, v1.ShipCity, v1.ShipRegion, v1.ShipPostalCode, v1.ShipCountry}
}

// Upgrade makes a V2 order of V1's.
func (m OrderMapping) Upgrade(v1 OrderV1) (OrderV2, error) { return m.Merge(v1, OrderV2{}) }

// Merge brings each part of v2 up to v1 where v1 differs from what v2 says, and leaves the others.
func (OrderMapping) Merge(v1 OrderV1, v2 OrderV2) (OrderV2, error) {
	merged := OrderV2{
		OrderID: v1.OrderID, CustomerID: v1.CustomerID, EmployeeID: v1.EmployeeID,
		PlacedOn: v1.OrderDate, RequiredBy: v1.RequiredDate, ShippedOn: v1.ShippedDate, Note: v2.Note,
		Shipment: Shipment{CarrierID: v1.ShipVia, Recipient: v1.ShipName},
	}
	if err := checkDates(dated{"orderDate", v1.OrderDate}, dated{"requiredDate", v1.RequiredDate}, dated{"shippedDate", v1.ShippedDate}); err != nil {
		return merged, err
	}
	if v1.Freight != nil {
		freight, err := centsOfReal(*v1.Freight)
		if err != nil {
			return merged, repo.Faulty("freight", "%v", err)
		}
		merged.Shipment.Freight = &freight
	}
	var err error
	if merged.Shipment.Address, err = mergePostal(v1.postal(), v2.Shipment.Address, "shipCountry"); err != nil {
		return merged, err
	}
	merged.Lines, err = mergeLines(v1.Details, v2.Lines)
	return merged, err
}

// mergeLines keeps an order of lines that somebody gave V2; new ones come last then. Lines in V1's order, that of their products,
// stay in it.
func mergeLines(details []OrderDetailV1, lines []OrderLine) ([]OrderLine, error) {
	ordered := slices.IsSortedFunc(lines, func(a, b OrderLine) int { return cmp.Compare(a.ProductID, b.ProductID) })
	place := make(map[int]int, len(lines))
	for i, l := range lines {
		place[l.ProductID] = i
	}
	var merged []OrderLine
	for i, d := range details {
		l, err := upgradeLine(d, i)
		if err != nil {
			return nil, err
		}
		merged = append(merged, l)
	}
	if ordered {
		return merged, nil
	}
	slices.SortStableFunc(merged, func(a, b OrderLine) int {
		i, known := place[a.ProductID]
		j, other := place[b.ProductID]
		switch {
		case known && other:
			return cmp.Compare(i, j)
		case known:
			return -1
		case other:
			return 1
		default:
			return 0
		}
	})
	return merged, nil
}

func upgradeLine(d OrderDetailV1, i int) (OrderLine, error) {
	l := OrderLine{ProductID: d.ProductID, Quantity: d.Quantity}
	var err error
	if l.UnitPrice, err = centsOfReal(d.UnitPrice); err != nil {
		return l, repo.Faulty(element("details", i, "unitPrice"), "%v", err)
	}
	if !(d.Discount >= 0 && d.Discount <= 1) || d.Discount.negativeZero() { // NaN is refused too
		return l, repo.Faulty(element("details", i, "discount"), "%v is not from 0 to 1", float32(d.Discount))
	}
	if l.Discount, err = ParseDecimal(d.Discount.String()); err != nil {
		return l, repo.Faulty(element("details", i, "discount"), "%v has too many digits", float32(d.Discount))
	}
	return l, nil
}

// Downgrade keeps of v2 what V1 expresses. It fails for amounts and discounts that V1 would not give back.
func (OrderMapping) Downgrade(v2 OrderV2) (OrderV1, error) {
	v1 := OrderV1{
		OrderID: v2.OrderID, CustomerID: v2.CustomerID, EmployeeID: v2.EmployeeID,
		OrderDate: v2.PlacedOn, RequiredDate: v2.RequiredBy, ShippedDate: v2.ShippedOn,
		ShipVia: v2.Shipment.CarrierID, ShipName: v2.Shipment.Recipient,
	}
	if v2.Shipment.Freight != nil {
		freight, err := v2.Shipment.Freight.real()
		if err != nil {
			return v1, repo.Faulty("shipment.freight", "%v", err)
		}
		v1.Freight = &freight
	}
	a, err := downgradePostal(v2.Shipment.Address, "shipment.address.")
	if err != nil {
		return v1, err
	}
	v1.ShipAddress, v1.ShipCity, v1.ShipRegion, v1.ShipPostalCode, v1.ShipCountry = a.street, a.city, a.region, a.postalCode, a.country
	for i, l := range v2.Lines {
		d, err := downgradeLine(l, i)
		if err != nil {
			return v1, err
		}
		v1.Details = append(v1.Details, d)
	}
	slices.SortFunc(v1.Details, func(a, b OrderDetailV1) int { return cmp.Compare(a.ProductID, b.ProductID) })
	for i := range v1.Details[min(1, len(v1.Details)):] {
		if v1.Details[i].ProductID == v1.Details[i+1].ProductID {
			return v1, repo.Faulty("lines", "product %d is there twice", v1.Details[i].ProductID)
		}
	}
	return v1, nil
}

func downgradeLine(l OrderLine, i int) (OrderDetailV1, error) {
	d := OrderDetailV1{ProductID: l.ProductID, Quantity: l.Quantity}
	var err error
	if d.UnitPrice, err = l.UnitPrice.real(); err != nil {
		return d, repo.Faulty(element("lines", i, "unitPrice"), "%v", err)
	}
	discount, err := strconv.ParseFloat(string(l.Discount), 32)
	if err != nil || new(big.Rat).SetInt64(1).Cmp(l.Discount.rational()) < 0 || l.Discount.rational().Sign() < 0 {
		return d, repo.Faulty(element("lines", i, "discount"), "%q is not from 0 to 1", string(l.Discount))
	}
	d.Discount = Real(discount)
	if back, err := ParseDecimal(d.Discount.String()); err != nil || back != l.Discount {
		return d, repo.Faulty(element("lines", i, "discount"), "%s has more digits than V1 keeps", l.Discount)
	}
	return d, nil
}
