package models

import (
	"cmp"
	"slices"

	"github.com/alwaysup/coexist/repo"
)

// OrderMapping converts orders. It fails if a country is unknown, a date is not a date, a price has fractions of a
// cent, an amount is not a number, or a discount is not from 0 to 1.
type OrderMapping struct{}

// Version returns 1.
func (OrderMapping) Version() int { return 1 }

func (v1 OrderV1) postal() postalV1 {
	return postalV1{v1.ShipAddress, v1.ShipCity, v1.ShipRegion, v1.ShipPostalCode, v1.ShipCountry}
}

// Upgrade converts a V1 order to V2. It fails as OrderMapping says.
func (m OrderMapping) Upgrade(v1 OrderV1) (OrderV2, error) { return m.Merge(v1, OrderV2{}) }

// Merge brings each part of v2 up to v1 where the two differ, and keeps the other parts.
func (OrderMapping) Merge(v1 OrderV1, v2 OrderV2) (OrderV2, error) {
	merged := OrderV2{
		OrderID: v1.OrderID, CustomerID: v1.CustomerID, EmployeeID: v1.EmployeeID, Note: v2.Note,
		PlacedOn: v2.PlacedOn, RequiredBy: v2.RequiredBy, ShippedOn: v2.ShippedOn,
		PlacedOnSpelling: v2.PlacedOnSpelling, RequiredBySpelling: v2.RequiredBySpelling,
		ShippedOnSpelling: v2.ShippedOnSpelling,
		Shipment: Shipment{
			CarrierID: v1.ShipVia, Recipient: v1.ShipName,
			FreightSpelling: v2.Shipment.FreightSpelling,
		},
	}
	if err := mergeDate("orderDate", "placedOn", v1.OrderDate, &merged.PlacedOn, &merged.PlacedOnSpelling); err != nil {
		return merged, err
	}
	if err := mergeDate("requiredDate", "requiredBy", v1.RequiredDate, &merged.RequiredBy,
		&merged.RequiredBySpelling); err != nil {
		return merged, err
	}
	if err := mergeDate("shippedDate", "shippedOn", v1.ShippedDate, &merged.ShippedOn,
		&merged.ShippedOnSpelling); err != nil {
		return merged, err
	}
	// If V2 has no freight either, nothing has changed. Then V2's spelling stays as well: Merge must give back what it
	// got.
	if v1.Freight == nil {
		if v2.Shipment.Freight != nil {
			merged.Shipment.FreightSpelling = nil
		}
	} else {
		var freight Decimal
		if v2.Shipment.Freight != nil {
			freight = *v2.Shipment.Freight
		}
		if err := mergeNumber(*v1.Freight, &freight, &merged.Shipment.FreightSpelling); err != nil {
			return merged, repo.Unconvertible("freight", "shipment.freight", "%v", err)
		}
		merged.Shipment.Freight = &freight
	}
	var err error
	if merged.Shipment.Address, err = mergePostal(v1.postal(), v2.Shipment.Address, "shipCountry",
		"shipment.address.country"); err != nil {
		return merged, err
	}
	merged.Lines, err = mergeLines(v1.Details, v2.Lines)
	return merged, err
}

// mergeLines brings lines up to V1's rows. V1 sorts its rows by product, and so are the merged lines if the old ones
// were. If somebody gave V2 another order, the lines keep it, and new ones come last.
func mergeLines(details []OrderDetailV1, lines []OrderLine) ([]OrderLine, error) {
	ordered := slices.IsSortedFunc(lines, func(a, b OrderLine) int { return cmp.Compare(a.ProductID, b.ProductID) })
	place := make(map[int]int, len(lines))
	for i, l := range lines {
		place[l.ProductID] = i
	}
	var merged []OrderLine
	for i, d := range details {
		var l OrderLine
		if at, known := place[d.ProductID]; known {
			l = lines[at]
		}
		l, err := mergeLine(d, l, i)
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

// mergeLine brings a line up to a row of V1's. The row is the i-th of its order, counted from 0.
func mergeLine(d OrderDetailV1, l OrderLine, i int) (OrderLine, error) {
	l.ProductID, l.Quantity = d.ProductID, d.Quantity
	faulty := func(field, format string, args ...any) error {
		return repo.Unconvertible(element("details", i, field), element("lines", i, field), format, args...)
	}
	if err := mergeNumber(d.UnitPrice, &l.UnitPrice, &l.UnitPriceSpelling); err != nil {
		return l, faulty("unitPrice", "%v", err)
	}
	if !l.UnitPrice.inCents() {
		return l, faulty("unitPrice", "%s has fractions of a cent", l.UnitPrice)
	}
	if err := mergeNumber(d.Discount, &l.Discount, &l.DiscountSpelling); err != nil {
		return l, faulty("discount", "%v", err)
	}
	if discount := l.Discount.number(); discount.IsNegative() || discount.GreaterThan(one) {
		return l, faulty("discount", "%s is not from 0 to 1", l.Discount)
	}
	return l, nil
}

// Downgrade returns the part of v2 that V1 can express. It fails if two lines have the same product, or if the country
// code does not agree with the country. It does not check whether V1 has room for the digits of an amount: the engine
// does.
func (OrderMapping) Downgrade(v2 OrderV2) (OrderV1, error) {
	v1 := OrderV1{
		OrderID: v2.OrderID, CustomerID: v2.CustomerID, EmployeeID: v2.EmployeeID,
		OrderDate: dateV1(v2.PlacedOn, v2.PlacedOnSpelling), RequiredDate: dateV1(v2.RequiredBy, v2.RequiredBySpelling),
		ShippedDate: dateV1(v2.ShippedOn, v2.ShippedOnSpelling),
		ShipVia:     v2.Shipment.CarrierID, ShipName: v2.Shipment.Recipient,
	}
	if v2.Shipment.Freight != nil {
		v1.Freight = new(numberV1(*v2.Shipment.Freight, v2.Shipment.FreightSpelling))
	}
	a, err := downgradePostal(v2.Shipment.Address, "shipment.address.")
	if err != nil {
		return v1, err
	}
	v1.ShipAddress, v1.ShipCity, v1.ShipRegion, v1.ShipPostalCode, v1.ShipCountry = a.street, a.city, a.region,
		a.postalCode, a.country
	for _, l := range v2.Lines {
		v1.Details = append(v1.Details, OrderDetailV1{
			ProductID: l.ProductID, Quantity: l.Quantity, UnitPrice: numberV1(l.UnitPrice, l.UnitPriceSpelling),
			Discount: numberV1(l.Discount, l.DiscountSpelling),
		})
	}
	slices.SortFunc(v1.Details, func(a, b OrderDetailV1) int { return cmp.Compare(a.ProductID, b.ProductID) })
	for i := range v1.Details[min(1, len(v1.Details)):] {
		if v1.Details[i].ProductID == v1.Details[i+1].ProductID {
			return v1, repo.Faulty("lines", "product %d appears twice", v1.Details[i].ProductID)
		}
	}
	return v1, nil
}
