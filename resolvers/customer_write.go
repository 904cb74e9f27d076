package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
)

func (m mutation) CreateCustomerV1(ctx context.Context,
	in graph.CreateCustomerV1Input,
) (*graph.CustomerV1Payload, error) {
	key, err := keyForCreate("customerId", in.CustomerID)
	if err != nil {
		return nil, err
	}
	c, err := m.Customers.CreateV1(ctx, models.CustomerV1{
		CustomerID: key, CompanyName: in.CompanyName, ContactName: in.ContactName.Value(),
		ContactTitle: in.ContactTitle.Value(),
		Address:      in.Address.Value(), City: in.City.Value(), Region: in.Region.Value(),
		PostalCode: in.PostalCode.Value(), Country: in.Country.Value(),
		Phone: in.Phone.Value(), Fax: in.Fax.Value(),
	})
	if err != nil {
		return nil, err
	}
	return &graph.CustomerV1Payload{Customer: newCustomerV1(c, &siblings{})}, nil
}

func (m mutation) UpdateCustomerV1(ctx context.Context,
	in graph.UpdateCustomerV1Input,
) (*graph.CustomerV1Payload, error) {
	c, err := m.Customers.UpdateV1(ctx, in.CustomerID, func(c *models.CustomerV1) error {
		set(&c.ContactName, in.ContactName)
		set(&c.ContactTitle, in.ContactTitle)
		set(&c.Address, in.Address)
		set(&c.City, in.City)
		set(&c.Region, in.Region)
		set(&c.PostalCode, in.PostalCode)
		set(&c.Country, in.Country)
		set(&c.Phone, in.Phone)
		set(&c.Fax, in.Fax)
		return setRequired(&c.CompanyName, "companyName", in.CompanyName)
	})
	if err != nil {
		return nil, err
	}
	return &graph.CustomerV1Payload{Customer: newCustomerV1(c, &siblings{})}, nil
}

func (m mutation) DeleteCustomerV1(ctx context.Context, customerID string) (*graph.DeletePayload, error) {
	return deleted(customerID, m.Customers.Delete(ctx, customerID, nil))
}

func (m mutation) CreateCustomerV2(ctx context.Context,
	in graph.CreateCustomerV2Input,
) (*graph.CustomerV2Payload, error) {
	key, err := keyForCreate("customerId", in.CustomerID)
	if err != nil {
		return nil, err
	}
	r, err := m.Customers.CreateV2(ctx, models.CustomerV2{
		CustomerID: key, Name: in.Name, Contacts: contacts(in.Contacts.Value()),
		Addresses: addresses(in.Addresses.Value()), Phones: phones(in.Phones.Value()),
	})
	if err != nil {
		return nil, err
	}
	return &graph.CustomerV2Payload{Customer: newCustomerV2(r, &siblings{})}, nil
}

func (m mutation) UpdateCustomerV2(ctx context.Context,
	in graph.UpdateCustomerV2Input,
) (*graph.CustomerV2Payload, error) {
	r, err := m.Customers.UpdateV2(ctx, in.CustomerID, version(in.ExpectedVersion), func(c *models.CustomerV2) error {
		if list, ok := in.Contacts.ValueOK(); ok {
			c.Contacts = contacts(list)
		}
		if list, ok := in.Addresses.ValueOK(); ok {
			c.Addresses = addresses(list)
		}
		if list, ok := in.Phones.ValueOK(); ok {
			c.Phones = phones(list)
		}
		return setRequired(&c.Name, "name", in.Name)
	})
	if err != nil {
		return nil, err
	}
	return &graph.CustomerV2Payload{Customer: newCustomerV2(r, &siblings{})}, nil
}

func (m mutation) DeleteCustomerV2(ctx context.Context, customerID string,
	expectedVersion *int,
) (*graph.DeletePayload, error) {
	return deleted(customerID, m.Customers.Delete(ctx, customerID, version(graphql.OmittableOf(expectedVersion))))
}

func contacts(in []graph.ContactInput) []models.Contact {
	list := make([]models.Contact, len(in))
	for i, c := range in {
		list[i] = models.NewContact(c.DisplayName.Value(), c.GivenName, c.FamilyName, c.Title.Value())
	}
	return list
}

func addresses(in []graph.AddressInput) []models.Address {
	list := make([]models.Address, len(in))
	for i, a := range in {
		list[i] = models.Address{Kind: models.AddressKind(a.Kind), Postal: postal(a)}
	}
	return list
}

func postal(a graph.AddressInput) models.Postal {
	return models.Postal{
		Street: a.Street.Value(), Locality: a.Locality.Value(), Region: a.Region.Value(),
		PostalCode: a.PostalCode.Value(),
		Country:    a.Country.Value(), CountryCode: a.CountryCode.Value(),
	}.Completed()
}

func phones(in []graph.PhoneInput) []models.Phone {
	list := make([]models.Phone, len(in))
	for i, p := range in {
		list[i] = models.Phone{Kind: models.PhoneKind(p.Kind), Number: p.Number}
	}
	return list
}
