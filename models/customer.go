package models

import (
	"strings"
	"unicode"

	"github.com/alwaysup/coexist/repo"
)

// CustomerV1 is a row of Northwind's table customers.
type CustomerV1 struct {
	CustomerID   string  `gorm:"type:varchar(5);primaryKey" json:"customerId"`
	CompanyName  string  `gorm:"type:varchar(40)" json:"companyName"`
	ContactName  *string `gorm:"type:varchar(30)" json:"contactName"`
	ContactTitle *string `gorm:"type:varchar(30)" json:"contactTitle"`
	Address      *string `gorm:"type:varchar(60)" json:"address"`
	City         *string `gorm:"type:varchar(15)" json:"city"`
	Region       *string `gorm:"type:varchar(15)" json:"region"`
	PostalCode   *string `gorm:"type:varchar(10)" json:"postalCode"`
	Country      *string `gorm:"type:varchar(15)" json:"country"`
	Phone        *string `gorm:"type:varchar(24)" json:"phone"`
	Fax          *string `gorm:"type:varchar(24)" json:"fax"`
}

// TableName returns the name of V1's table.
func (CustomerV1) TableName() string { return "customers" }

// Validate refuses a key with a blank at an end, which nobody could type again, and a customer without a company name,
// which V2 requires. Everything else is as free as V1 has always been.
func (c CustomerV1) Validate() error {
	if err := validateCustomerID(c.CustomerID); err != nil {
		return err
	}
	if strings.TrimSpace(c.CompanyName) == "" {
		return repo.Faulty("companyName", "must not be empty")
	}
	return nil
}

func validateCustomerID(id string) error {
	if id != strings.TrimSpace(id) {
		return repo.Faulty("customerId", "must not begin or end with a blank")
	}
	return nil
}

// CustomerV2 is a customer with any number of contacts, addresses and phones. V1 has room for one contact, one address,
// one phone and one fax. Among the entries that are not V2Only, these are the first contact, the first MAIN address,
// the first VOICE phone and the first FAX phone.
type CustomerV2 struct {
	CustomerID string    `gorm:"type:varchar(5);primaryKey" json:"customerId"`
	Name       string    `gorm:"type:text" json:"name"`
	Contacts   []Contact `gorm:"-" repo:"table:customer_v2_contacts" json:"contacts"`
	Addresses  []Address `gorm:"-" repo:"table:customer_v2_addresses" json:"addresses"`
	Phones     []Phone   `gorm:"-" repo:"table:customer_v2_phones" json:"phones"`
}

// TableName returns the name of V2's table.
func (CustomerV2) TableName() string { return "customers_v2" }

// Contact is a person at a customer.
type Contact struct {
	DisplayName string  `gorm:"type:text" json:"displayName"`
	GivenName   string  `gorm:"type:text" json:"givenName"`
	FamilyName  string  `gorm:"type:text" json:"familyName"`
	Title       *string `gorm:"type:text" json:"title"`
	// Nameless means that the contact has a title but no name in V1. DisplayName is empty then.
	Nameless bool `json:"nameless"`
	// V2Only means that V1 has lost its contact while V2 has this one as well. It keeps this contact from taking the
	// lost one's place in V1.
	V2Only bool `json:"v2Only"`
}

// NewContact returns a contact. If displayName is nil, the other two names make it. A contact with a title but without
// any name is nameless.
func NewContact(displayName *string, givenName, familyName string, title *string) Contact {
	c := Contact{GivenName: givenName, FamilyName: familyName, Title: title}
	if displayName != nil {
		c.DisplayName = *displayName
	} else {
		c.DisplayName = strings.TrimSpace(givenName + " " + familyName)
	}
	// V1 may have a title without a name. So a contact that was read can be written back.
	c.Nameless = c.DisplayName+givenName+familyName == "" && title != nil && *title != ""
	return c
}

// AddressKind says what an address is for.
type AddressKind string

// The kinds of addresses.
const (
	AddressMain     AddressKind = "MAIN"
	AddressBilling  AddressKind = "BILLING"
	AddressShipping AddressKind = "SHIPPING"
)

// Address is an address of a customer.
type Address struct {
	Kind   AddressKind `gorm:"type:varchar(10)" json:"kind"`
	Postal `gorm:"embedded"`
	// V2Only means that V1 has lost its address while V2 has this one as well. It keeps this address from taking the
	// lost one's place in V1.
	V2Only bool `json:"v2Only"`
}

// PhoneKind says what kind of phone a number belongs to.
type PhoneKind string

// The kinds of phones.
const (
	PhoneVoice  PhoneKind = "VOICE"
	PhoneFax    PhoneKind = "FAX"
	PhoneMobile PhoneKind = "MOBILE"
)

// Phone is a phone of a customer.
type Phone struct {
	Kind   PhoneKind `gorm:"type:varchar(10)" json:"kind"`
	Number string    `gorm:"type:text" json:"number"`
	// V2Only means that V1 has lost its phone of this kind while V2 has this one as well. It keeps this phone from
	// taking the lost one's place in V1.
	V2Only bool `json:"v2Only"`
}

// Validate returns an error for a value that a client may not write.
func (c CustomerV2) Validate() error {
	if err := validateCustomerID(c.CustomerID); err != nil {
		return err
	}
	if strings.TrimSpace(c.Name) == "" {
		return repo.Faulty("name", "must not be empty")
	}
	for i, contact := range c.Contacts {
		if contact.DisplayName == "" && !contact.Nameless {
			return repo.Faulty(element("contacts", i, "displayName"), "must not be empty")
		}
	}
	for i, a := range c.Addresses {
		if a.Kind != AddressMain && a.Kind != AddressBilling && a.Kind != AddressShipping {
			return repo.Faulty(element("addresses", i, "kind"), "there is no kind %q", a.Kind)
		}
		if err := a.validate(element("addresses", i, "")); err != nil {
			return err
		}
	}
	for i, p := range c.Phones {
		if p.Kind != PhoneVoice && p.Kind != PhoneFax && p.Kind != PhoneMobile {
			return repo.Faulty(element("phones", i, "kind"), "there is no kind %q", p.Kind)
		}
		if strings.TrimFunc(p.Number, unicode.IsSpace) == "" {
			return repo.Faulty(element("phones", i, "number"), "must not be empty")
		}
	}
	return nil
}
