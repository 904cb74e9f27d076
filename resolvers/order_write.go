package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
)

func (m mutation) CreateOrderV1(ctx context.Context, in graph.CreateOrderV1Input) (*graph.OrderV1Payload, error) {
	id, err := keyForCreate("orderId", in.OrderID)
	if err != nil {
		return nil, err
	}
	key, err := orderKey(id)
	if err != nil {
		return nil, err
	}
	o, err := m.Orders.CreateV1(ctx, models.OrderV1{
		OrderID: key, CustomerID: in.CustomerID.Value(), EmployeeID: in.EmployeeID.Value(),
		OrderDate: in.OrderDate.Value(), RequiredDate: in.RequiredDate.Value(),
		ShippedDate: in.ShippedDate.Value(), ShipVia: in.ShipVia.Value(), Freight: in.Freight.Value(),
		ShipName: in.ShipName.Value(), ShipAddress: in.ShipAddress.Value(),
		ShipCity: in.ShipCity.Value(), ShipRegion: in.ShipRegion.Value(), ShipPostalCode: in.ShipPostalCode.Value(),
		ShipCountry: in.ShipCountry.Value(),
		Details:     details(in.Details),
	})
	if err != nil {
		return nil, err
	}
	return &graph.OrderV1Payload{Order: newOrderV1(o, &siblings{})}, nil
}

func (m mutation) UpdateOrderV1(ctx context.Context, in graph.UpdateOrderV1Input) (*graph.OrderV1Payload, error) {
	o, err := m.Orders.UpdateV1(ctx, in.OrderID, func(o *models.OrderV1) error {
		set(&o.CustomerID, in.CustomerID)
		set(&o.EmployeeID, in.EmployeeID)
		set(&o.OrderDate, in.OrderDate)
		set(&o.RequiredDate, in.RequiredDate)
		set(&o.ShippedDate, in.ShippedDate)
		set(&o.ShipVia, in.ShipVia)
		set(&o.Freight, in.Freight)
		set(&o.ShipName, in.ShipName)
		set(&o.ShipAddress, in.ShipAddress)
		set(&o.ShipCity, in.ShipCity)
		set(&o.ShipRegion, in.ShipRegion)
		set(&o.ShipPostalCode, in.ShipPostalCode)
		set(&o.ShipCountry, in.ShipCountry)
		if list, ok := in.Details.ValueOK(); ok {
			o.Details = details(list)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &graph.OrderV1Payload{Order: newOrderV1(o, &siblings{})}, nil
}

func (m mutation) DeleteOrderV1(ctx context.Context, orderID string) (*graph.DeletePayload, error) {
	return deleted(orderID, m.Orders.Delete(ctx, orderID, nil))
}

func (m mutation) CreateOrderV2(ctx context.Context, in graph.CreateOrderV2Input) (*graph.OrderV2Payload, error) {
	id, err := keyForCreate("orderId", in.OrderID)
	if err != nil {
		return nil, err
	}
	key, err := orderKey(id)
	if err != nil {
		return nil, err
	}
	r, err := m.Orders.CreateV2(ctx, models.OrderV2{
		OrderID: key, CustomerID: in.CustomerID.Value(), EmployeeID: in.EmployeeID.Value(),
		PlacedOn: in.PlacedOn.Value(), RequiredBy: in.RequiredBy.Value(),
		ShippedOn: in.ShippedOn.Value(), Shipment: shipment(in.Shipment.Value()), Lines: lines(in.Lines),
		Note: in.Note.Value(),
	})
	if err != nil {
		return nil, err
	}
	return &graph.OrderV2Payload{Order: newOrderV2(r, &siblings{})}, nil
}

func (m mutation) UpdateOrderV2(ctx context.Context, in graph.UpdateOrderV2Input) (*graph.OrderV2Payload, error) {
	r, err := m.Orders.UpdateV2(ctx, in.OrderID, version(in.ExpectedVersion), func(o *models.OrderV2) error {
		set(&o.CustomerID, in.CustomerID)
		set(&o.EmployeeID, in.EmployeeID)
		set(&o.PlacedOn, in.PlacedOn)
		set(&o.RequiredBy, in.RequiredBy)
		set(&o.ShippedOn, in.ShippedOn)
		set(&o.Note, in.Note)
		if s, ok := in.Shipment.ValueOK(); ok {
			o.SetShipment(shipment(s))
		}
		if list, ok := in.Lines.ValueOK(); ok {
			o.SetLines(lines(list))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &graph.OrderV2Payload{Order: newOrderV2(r, &siblings{})}, nil
}

func (m mutation) DeleteOrderV2(ctx context.Context, orderID string,
	expectedVersion *int,
) (*graph.DeletePayload, error) {
	return deleted(orderID, m.Orders.Delete(ctx, orderID, version(graphql.OmittableOf(expectedVersion))))
}

// details keeps the order of the input, so that an error names the right element. V1 returns the details by product.
func details(in []graph.OrderDetailV1Input) []models.OrderDetailV1 {
	list := make([]models.OrderDetailV1, len(in))
	for i, d := range in {
		list[i] = models.OrderDetailV1{
			ProductID: d.ProductID, UnitPrice: d.UnitPrice, Quantity: d.Quantity,
			Discount: d.Discount,
		}
	}
	return list
}

func lines(in []graph.OrderLineInput) []models.OrderLine {
	list := make([]models.OrderLine, len(in))
	for i, l := range in {
		list[i] = models.OrderLine{
			ProductID: l.ProductID, UnitPrice: l.UnitPrice, Quantity: l.Quantity,
			Discount: l.Discount,
		}
	}
	return list
}

func shipment(in *graph.ShipmentInput) models.Shipment {
	if in == nil {
		return models.Shipment{}
	}
	s := models.Shipment{CarrierID: in.CarrierID.Value(), Recipient: in.Recipient.Value(), Freight: in.Freight.Value()}
	if a, ok := given(in.Address); ok {
		s.Address = postal(a)
	}
	return s
}
