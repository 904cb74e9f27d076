package models

import (
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo"
)

// CustomerMapping converts customers. It fails if the country is unknown.
type CustomerMapping struct{}

// Version returns 1.
func (CustomerMapping) Version() int { return 1 }

// contactV1 is V1's contact. A NULL name with a title, an empty name, and NULL in both, which is no contact, are three
// different things.
type contactV1 struct{ name, title *string }

func (v1 CustomerV1) contact() contactV1 { return contactV1{v1.ContactName, v1.ContactTitle} }

func (v1 CustomerV1) postal() postalV1 {
	return postalV1{v1.Address, v1.City, v1.Region, v1.PostalCode, v1.Country}
}

// Upgrade converts a V1 customer to V2. It fails if the country is unknown.
func (m CustomerMapping) Upgrade(v1 CustomerV1) (CustomerV2, error) {
	return m.Merge(v1, CustomerV2{})
}

// Merge brings each part of v2 up to v1 where the two differ, and keeps the other parts.
func (CustomerMapping) Merge(v1 CustomerV1, v2 CustomerV2) (CustomerV2, error) {
	merged := CustomerV2{
		CustomerID: v1.CustomerID, Name: v1.CompanyName,
		Contacts: mergeContacts(v1.contact(), v2.Contacts),
	}
	var err error
	if merged.Addresses, err = mergeAddresses(v1.postal(), v2.Addresses); err != nil {
		return merged, err
	}
	merged.Phones = mergePhones(v1.Phone, PhoneVoice, v2.Phones)
	merged.Phones = mergePhones(v1.Fax, PhoneFax, merged.Phones)
	return merged, nil
}

// Downgrade returns the part of v2 that V1 can express. It fails if V1 would not give that part back.
func (CustomerMapping) Downgrade(v2 CustomerV2) (CustomerV1, error) {
	v1 := CustomerV1{CustomerID: v2.CustomerID, CompanyName: v2.Name}
	if i := slot(v2.Contacts, isPrimary); i >= 0 {
		c := v2.Contacts[i]
		if c.Nameless && c.DisplayName != "" {
			return v1, repo.Faulty(element("contacts", i, "displayName"), "must be empty, since the contact has no name in V1")
		}
		contact := c.v1()
		v1.ContactName, v1.ContactTitle = contact.name, contact.title
	}
	if i := slot(v2.Addresses, isMain); i >= 0 {
		a, err := downgradePostal(v2.Addresses[i].Postal, element("addresses", i, ""))
		if err != nil {
			return v1, err
		}
		v1.Address, v1.City, v1.Region, v1.PostalCode, v1.Country = a.street, a.city, a.region, a.postalCode, a.country
	}
	v1.Phone, v1.Fax = number(v2.Phones, PhoneVoice), number(v2.Phones, PhoneFax)
	return v1, nil
}

// slot returns the index of the entry that V1 knows, or -1 if V1 knows none.
func slot[T any](list []T, known func(T) bool) int { return slices.IndexFunc(list, known) }

func isPrimary(c Contact) bool { return !c.V2Only }
func isMain(a Address) bool    { return a.Kind == AddressMain && !a.V2Only }

func isPhone(kind PhoneKind) func(Phone) bool {
	return func(p Phone) bool { return p.Kind == kind && !p.V2Only }
}

// remove removes the entry at i. Entries that V1 would now take for it become V2's own.
func remove[T any](list []T, i int, known func(T) bool, keep func(*T)) []T {
	list = slices.Delete(slices.Clone(list), i, i+1)
	for j := range list {
		if known(list[j]) {
			keep(&list[j])
		}
	}
	return list
}

func (c Contact) v1() contactV1 {
	if c.Nameless {
		return contactV1{nil, c.Title}
	}
	return contactV1{&c.DisplayName, c.Title}
}

func mergeContacts(v1 contactV1, contacts []Contact) []Contact {
	i := slot(contacts, isPrimary)
	none := v1.name == nil && v1.title == nil
	switch {
	case i < 0 && none:
		return contacts
	case i < 0:
		return slices.Insert(slices.Clone(contacts), 0, newContact(v1))
	}
	was := contacts[i].v1()
	switch {
	case same(was.name, v1.name) && same(was.title, v1.title):
		return contacts
	case none:
		return remove(contacts, i, isPrimary, func(c *Contact) { c.V2Only = true })
	}
	contacts = slices.Clone(contacts)
	// As long as the name stays, V2's way to split it stays too.
	if same(was.name, v1.name) {
		contacts[i].Title = v1.title
	} else {
		contacts[i] = newContact(v1)
	}
	return contacts
}

func newContact(v1 contactV1) Contact {
	if v1.name == nil {
		return Contact{Title: v1.title, Nameless: true}
	}
	given, family := splitName(*v1.name)
	return Contact{DisplayName: *v1.name, GivenName: given, FamilyName: family, Title: v1.title}
}

// splitName takes the first word as the given name and the rest, such as "de Castro", as the family name. A single word
// is a family name.
func splitName(name string) (given, family string) {
	words := strings.Fields(name)
	switch len(words) {
	case 0:
		return "", ""
	case 1:
		return "", words[0]
	default:
		return words[0], strings.Join(words[1:], " ")
	}
}

func mergeAddresses(v1 postalV1, addresses []Address) ([]Address, error) {
	i := slot(addresses, isMain)
	if i < 0 {
		if v1.empty() {
			return addresses, nil
		}
		fresh, err := upgradePostal(v1, "country", element("addresses", 0, "country"))
		return slices.Insert(slices.Clone(addresses), 0, Address{Kind: AddressMain, Postal: fresh}), err
	}
	if v1.empty() && !addresses[i].Empty() {
		return remove(addresses, i, isMain, func(a *Address) { a.V2Only = true }), nil
	}
	merged, err := mergePostal(v1, addresses[i].Postal, "country", element("addresses", i, "country"))
	addresses = slices.Clone(addresses)
	addresses[i].Postal = merged
	return addresses, err
}

func mergePhones(v1 *string, kind PhoneKind, phones []Phone) []Phone {
	known := isPhone(kind)
	i := slot(phones, known)
	switch {
	case i < 0 && v1 == nil:
		return phones
	case i < 0 && kind == PhoneVoice:
		return slices.Insert(slices.Clone(phones), 0, Phone{Kind: kind, Number: *v1})
	case i < 0:
		return append(slices.Clone(phones), Phone{Kind: kind, Number: *v1})
	case v1 == nil:
		return remove(phones, i, known, func(p *Phone) { p.V2Only = true })
	}
	phones = slices.Clone(phones)
	phones[i].Number = *v1
	return phones
}

func number(phones []Phone, kind PhoneKind) *string {
	if i := slot(phones, isPhone(kind)); i >= 0 {
		return &phones[i].Number
	}
	return nil
}
