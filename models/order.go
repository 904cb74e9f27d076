package models

import (
	"io"
	"strconv"

	"github.com/shopspring/decimal"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/value"
)

// OrderID is the key of an order. In GraphQL it is a string, as every ID is.
type OrderID int64

// MarshalGQL writes the key as a string.
func (id OrderID) MarshalGQL(w io.Writer) {
	io.WriteString(w, strconv.Quote(id.String())) //nolint:errcheck // the answer's buffer takes everything
}

// UnmarshalGQL takes a whole number of at least 1, as a string or as a number. It fails for everything else.
func (id *OrderID) UnmarshalGQL(v any) error {
	n, err := strconv.ParseInt(decimalText(v), 10, 64)
	if *id = OrderID(n); err != nil || n < 1 {
		return repo.Faulty("", "the id of an order is a whole number, at least 1")
	}
	return nil
}

// String returns the key as the engine writes it.
func (id OrderID) String() string { return strconv.FormatInt(int64(id), 10) }

// OrderV1 is a row of Northwind's table orders, with its rows of order_details, sorted by product.
type OrderV1 struct {
	OrderID        OrderID         `gorm:"type:integer;primaryKey" json:"orderId"`
	CustomerID     *string         `gorm:"type:varchar(5)" json:"customerId"`
	EmployeeID     *int            `gorm:"type:smallint" json:"employeeId"`
	OrderDate      *Date           `gorm:"type:date" json:"orderDate"`
	RequiredDate   *Date           `gorm:"type:date" json:"requiredDate"`
	ShippedDate    *Date           `gorm:"type:date" json:"shippedDate"`
	ShipVia        *int            `gorm:"type:smallint" json:"shipVia"`
	Freight        *value.Number   `gorm:"type:real" json:"freight"`
	ShipName       *string         `gorm:"type:varchar(40)" json:"shipName"`
	ShipAddress    *string         `gorm:"type:varchar(60)" json:"shipAddress"`
	ShipCity       *string         `gorm:"type:varchar(15)" json:"shipCity"`
	ShipRegion     *string         `gorm:"type:varchar(15)" json:"shipRegion"`
	ShipPostalCode *string         `gorm:"type:varchar(10)" json:"shipPostalCode"`
	ShipCountry    *string         `gorm:"type:varchar(15)" json:"shipCountry"`
	Details        []OrderDetailV1 `gorm:"-" repo:"table:order_details" json:"details"`
}

// TableName returns the name of V1's table.
func (OrderV1) TableName() string { return "orders" }

// OrderDetailV1 is one product of an order.
type OrderDetailV1 struct {
	ProductID int          `gorm:"type:smallint;primaryKey" json:"productId"`
	UnitPrice value.Number `gorm:"type:real" json:"unitPrice"`
	Quantity  int          `gorm:"type:smallint" json:"quantity"`
	Discount  value.Number `gorm:"type:real" json:"discount"`
}

// Validate returns an error for a value that a client may not write.
func (o OrderV1) Validate() error {
	if err := checkDates(dated{"orderDate", o.OrderDate}, dated{"requiredDate", o.RequiredDate},
		dated{"shippedDate", o.ShippedDate}); err != nil {
		return err
	}
	if o.Freight != nil && !within(*o.Freight, nil) {
		return repo.Faulty("freight", "must not be negative")
	}
	for i, d := range o.Details {
		switch {
		case d.Quantity < 1:
			return repo.Faulty(element("details", i, "quantity"), "must be at least 1")
		case !within(d.UnitPrice, nil):
			return repo.Faulty(element("details", i, "unitPrice"), "must not be negative")
		case !within(d.Discount, &one):
			return repo.Faulty(element("details", i, "discount"), "must be from 0 to 1")
		}
	}
	return nil
}

var one = decimal.NewFromInt(1)

// within reports whether a number is at least 0 and at most most. A nil most means no upper limit. A NaN is not within.
func within(n value.Number, most *decimal.Decimal) bool {
	d, err := n.Decimal()
	return err == nil && !d.IsNegative() && (most == nil || !d.GreaterThan(*most))
}

// dated is a field that holds a date.
type dated struct {
	field string
	date  *Date
}

func checkDates(fields ...dated) error {
	for _, f := range fields {
		if f.date != nil && !f.date.Valid() {
			return repo.Faulty(f.field, "%q is not a date", string(*f.date))
		}
	}
	return nil
}

// OrderV2 is an order with exact money, and with a note, which V1 lacks.
type OrderV2 struct {
	OrderID    OrderID `gorm:"type:integer;primaryKey" json:"orderId"`
	CustomerID *string `gorm:"type:varchar(5)" json:"customerId"`
	EmployeeID *int    `gorm:"type:integer" json:"employeeId"`
	PlacedOn   *Date   `gorm:"type:date" json:"placedOn"`
	RequiredBy *Date   `gorm:"type:date" json:"requiredBy"`
	ShippedOn  *Date   `gorm:"type:date" json:"shippedOn"`
	// How V1 writes the three days, if it writes them differently.
	PlacedOnSpelling   *Date `gorm:"type:text" json:"placedOnSpelling"`
	RequiredBySpelling *Date `gorm:"type:text" json:"requiredBySpelling"`
	ShippedOnSpelling  *Date `gorm:"type:text" json:"shippedOnSpelling"`

	Shipment Shipment    `gorm:"embedded;embeddedPrefix:ship_" json:"shipment"`
	Note     *string     `gorm:"type:text" json:"note"`
	Lines    []OrderLine `gorm:"-" repo:"table:order_v2_lines" json:"lines"`
}

// TableName returns the name of V2's table.
func (OrderV2) TableName() string { return "orders_v2" }

// Shipment says how an order travels. An empty address means that there is none.
type Shipment struct {
	CarrierID *int     `gorm:"type:integer" json:"carrierId"`
	Recipient *string  `gorm:"type:text" json:"recipient"`
	Address   Postal   `gorm:"embedded" json:"address"`
	Freight   *Decimal `gorm:"type:numeric" json:"freight"`
	// FreightSpelling is how V1 writes the freight, if it writes it differently.
	FreightSpelling *value.Number `gorm:"type:text" json:"freightSpelling"`
}

// OrderLine is one product of an order.
type OrderLine struct {
	ProductID int     `gorm:"type:integer" json:"productId"`
	UnitPrice Decimal `gorm:"type:numeric" json:"unitPrice"`
	Quantity  int     `gorm:"type:integer" json:"quantity"`
	// Discount is the part of the price that is taken off, from 0 to 1.
	Discount Decimal `gorm:"type:numeric" json:"discount"`
	// How V1 writes the price and the discount, if it writes them differently.
	UnitPriceSpelling *value.Number `gorm:"type:text" json:"unitPriceSpelling"`
	DiscountSpelling  *value.Number `gorm:"type:text" json:"discountSpelling"`
}

// Shipped reports whether the order has been shipped.
func (o OrderV2) Shipped() bool { return o.ShippedOn != nil }

// Total returns the sum of the lines' totals, without freight. It is exact and not rounded.
func (o OrderV2) Total() Amount {
	sum := decimal.Zero
	for _, l := range o.Lines {
		sum = sum.Add(l.total())
	}
	return Amount(sum.String())
}

// Total returns price × quantity × (1 − discount). It is exact and not rounded.
func (l OrderLine) Total() Amount { return Amount(l.total().String()) }

func (l OrderLine) total() decimal.Decimal {
	return l.UnitPrice.number().Mul(decimal.NewFromInt(int64(l.Quantity))).Mul(one.Sub(l.Discount.number()))
}

// SetShipment replaces the shipment. V1's spelling of the freight stays, and counts only while it means the same
// freight.
func (o *OrderV2) SetShipment(s Shipment) {
	s.FreightSpelling = o.Shipment.FreightSpelling
	o.Shipment = s
}

// SetLines replaces the lines. V1's spellings of a product's price and discount stay, and count only while they mean
// the same numbers.
func (o *OrderV2) SetLines(lines []OrderLine) {
	for i := range lines {
		for _, old := range o.Lines {
			if old.ProductID == lines[i].ProductID {
				lines[i].UnitPriceSpelling, lines[i].DiscountSpelling = old.UnitPriceSpelling, old.DiscountSpelling
			}
		}
	}
	o.Lines = lines
}

// Validate returns an error for a value that a client may not write.
func (o OrderV2) Validate() error {
	if err := checkDates(dated{"placedOn", o.PlacedOn}, dated{"requiredBy", o.RequiredBy},
		dated{"shippedOn", o.ShippedOn}); err != nil {
		return err
	}
	if o.Shipment.Freight != nil && o.Shipment.Freight.number().IsNegative() {
		return repo.Faulty("shipment.freight", "must not be negative")
	}
	if err := o.Shipment.Address.validate("shipment.address."); err != nil {
		return err
	}
	seen := map[int]bool{}
	for i, l := range o.Lines {
		discount := l.Discount.number()
		switch {
		case seen[l.ProductID]:
			return repo.Faulty(element("lines", i, "productId"), "appears twice")
		case l.Quantity < 1:
			return repo.Faulty(element("lines", i, "quantity"), "must be at least 1")
		case l.UnitPrice.number().IsNegative():
			return repo.Faulty(element("lines", i, "unitPrice"), "must not be negative")
		case !l.UnitPrice.inCents():
			return repo.Faulty(element("lines", i, "unitPrice"), "has fractions of a cent")
		case discount.Sign() < 0 || discount.Cmp(one) > 0:
			return repo.Faulty(element("lines", i, "discount"), "must be from 0 to 1")
		}
		seen[l.ProductID] = true
	}
	return nil
}
