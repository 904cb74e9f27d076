package models_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/value"
)

func TestCustomerTraps(t *testing.T) {
	upgrade := func(t *testing.T, v1 models.CustomerV1) models.CustomerV2 {
		t.Helper()
		v2, err := models.CustomerMapping{}.Upgrade(v1)
		if err != nil {
			t.Fatal(err)
		}
		return v2
	}
	back := func(t *testing.T, country string) string {
		t.Helper()
		v1, err := models.CustomerMapping{}.Downgrade(upgrade(t, models.CustomerV1{Country: &country}))
		if err != nil {
			t.Fatal(err)
		}
		return *v1.Country
	}
	names := []struct{ name, given, family string }{
		{"Maria Anders", "Maria", "Anders"},
		{"Isabel de Castro", "Isabel", "de Castro"},
		{"Maria  Anders", "Maria", "Anders"},
		{" Maria Anders ", "Maria", "Anders"},
		{"Cher", "", "Cher"},
		{"", "", ""},
		{"  ", "", ""},
	}
	for _, n := range names {
		c := upgrade(t, models.CustomerV1{ContactName: &n.name}).Contacts[0]
		if c.DisplayName != n.name || c.GivenName != n.given || c.FamilyName != n.family {
			t.Errorf("%q became %+v", n.name, c)
		}
	}
	countries := map[string]string{
		"UK": "GB", "USA": "US", "Germany": "DE", "Venezuela": "VE", "Mexico": "MX", "Switzerland": "CH",
		"Ireland": "IE", "United Kingdom": "GB",
		"Argentina": "AR", "Austria": "AT", "Belgium": "BE", "Brazil": "BR", "Canada": "CA", "Denmark": "DK",
		"Finland": "FI", "France": "FR",
		"Italy": "IT", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "Spain": "ES", "Sweden": "SE",
		// C13. In the languages of these countries.
		"Alemania": "DE", "México": "MX", "Suecia": "SE", "Brasil": "BR", "Deutschland": "DE", "Frankreich": "FR",
		"Royaume-Uni": "GB", "Sverige": "SE", "Schweiz": "CH", "Italia": "IT",
		"Suomi": "FI", "Polska": "PL", "Danmark": "DK", "Norge": "NO", "Reino Unido": "GB", "Estados Unidos": "US",
		"Belgique": "BE", "Österreich": "AT",
	}
	for country, code := range countries {
		if a := upgrade(t, models.CustomerV1{Country: &country}).Addresses[0]; a.CountryCode == nil ||
			*a.CountryCode != code || *a.Country != country || back(t, country) != country {
			t.Errorf("%s became %v, want %s", country, a.CountryCode, code)
		}
	}
	for _, country := range []string{"Atlantis", "uk", " UK", "ZZ", "European Union"} {
		wantField(t, "country", func() error {
			_, err := models.CustomerMapping{}.Upgrade(models.CustomerV1{Country: &country})
			return err
		}())
	}
	if a := upgrade(t, models.CustomerV1{Country: new("")}).Addresses[0]; a.CountryCode != nil {
		t.Errorf("an empty country has code %s", *a.CountryCode)
	}

	title := new("Owner/Marketing Assistant")
	for _, v1 := range []models.CustomerV1{
		{ContactTitle: title},
		{ContactName: new("")},
		{},
		{ContactName: new(""), ContactTitle: new("")},
		{ContactName: new("x"), ContactTitle: title},
	} {
		v2 := upgrade(t, v1)
		back, err := models.CustomerMapping{}.Downgrade(v2)
		if err != nil || !repo.Identical(back, v1) {
			t.Errorf("%+v came back as %+v, %v", v1, back, err)
		}
	}
}

// What V1 cannot express survives what V1 clients do.
func TestMergeKeepsWhatV1Lacks(t *testing.T) {
	m := models.CustomerMapping{}
	v1 := models.CustomerV1{
		CustomerID: "ALFKI", ContactName: new("Maria Anders"), ContactTitle: new("Owner"),
		Phone: new("1"), Country: new("UK"),
	}
	v2, err := m.Upgrade(v1)
	if err != nil {
		t.Fatal(err)
	}
	v2.Contacts[0].GivenName, v2.Contacts[0].FamilyName = "Maria A.", "Nders" // corrected by hand
	v2.Contacts = append(v2.Contacts, models.NewContact(nil, "Second", "Contact", nil))
	v2.Phones = append(v2.Phones, models.Phone{Kind: models.PhoneVoice, Number: "2"})

	v1.ContactTitle = new("Sales Agent")
	merged, err := m.Merge(v1, v2)
	if err != nil || merged.Contacts[0].GivenName != "Maria A." || *merged.Contacts[0].Title != "Sales Agent" ||
		len(merged.Contacts) != 2 {
		t.Errorf("a title has changed more than the title: %+v, %v", merged.Contacts, err)
	}
	v1.ContactTitle, v1.ContactName, v1.Phone = nil, nil, nil
	merged, err = m.Merge(v1, merged)
	if err != nil || len(merged.Contacts) != 1 || merged.Contacts[0].DisplayName != "Second Contact" ||
		len(merged.Phones) != 1 {
		t.Errorf("the second contact and phone should be left: %+v, %v", merged, err)
	}
	if back, err := m.Downgrade(merged); err != nil || !repo.Identical(back, v1) {
		t.Errorf("they took the first's place in V1: %+v, %v", back, err)
	}
	v1.ContactName = new("Third Person")
	if merged, err = m.Merge(v1, merged); err != nil || merged.Contacts[0].DisplayName != "Third Person" ||
		len(merged.Contacts) != 2 {
		t.Errorf("a new contact should come first: %+v, %v", merged.Contacts, err)
	}
}

// V1's order of lines is kept until somebody gives V2 another; law 5 asks for the first, law 3 for the second.
func TestMergeKeepsTheOrderOfLines(t *testing.T) {
	m := models.OrderMapping{}
	v1 := func(products ...int) (o models.OrderV1) {
		for _, product := range products {
			o.Details = append(o.Details, models.OrderDetailV1{
				ProductID: product, UnitPrice: "1",
				Quantity: 1, Discount: "0",
			})
		}
		return o
	}
	for _, c := range []struct {
		copied, reordered, now, want []int
	}{
		{copied: []int{2, 3}, reordered: []int{2, 3}, now: []int{1, 2, 3}, want: []int{1, 2, 3}},
		{copied: []int{2, 3}, reordered: []int{3, 2}, now: []int{1, 2, 3}, want: []int{3, 2, 1}},
		{copied: []int{2, 3}, reordered: []int{3, 2}, now: []int{2, 3}, want: []int{3, 2}},
	} {
		v2, err := m.Upgrade(v1(c.copied...))
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(v2.Lines, func(a, b models.OrderLine) int {
			return cmp.Compare(slices.Index(c.reordered, a.ProductID), slices.Index(c.reordered, b.ProductID))
		})
		merged, err := m.Merge(v1(c.now...), v2)
		var got []int
		for _, l := range merged.Lines {
			got = append(got, l.ProductID)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v, put in the order %v, then %v in V1: got %v, %v, want %v", c.copied, c.reordered,
				c.now, got, err, c.want)
		}
	}
}

func TestOrderTraps(t *testing.T) {
	m := models.OrderMapping{}
	order := func(price, discount value.Number) models.OrderV1 {
		return models.OrderV1{Details: []models.OrderDetailV1{{
			ProductID: 1, UnitPrice: price, Quantity: 10,
			Discount: discount,
		}}}
	}
	for _, c := range []struct {
		price, discount value.Number
		amount, total   string
	}{
		{"9.8", "0", "9.80", "98.00"},
		{"9.80000019", "0", "9.80", "98.00"},
		{"9.800000190734863", "-0", "9.80", "98.00"},
		{"14", "0.150000006", "14.00", "119.00"},
		{"2.45", "0.05", "2.45", "23.275"},
		{"0", "0", "0.00", "0.00"},
		{"-0", "1", "0.00", "0.00"},
		{"1234567.89", "0", "1234567.89", "12345678.90"},
		{"12345678901234567.89", "0.15", "12345678901234567.89", "104938270660493827.065"},
	} {
		v1 := order(c.price, c.discount)
		v2, err := m.Upgrade(v1)
		if err != nil || models.Amount(v2.Lines[0].UnitPrice).String() != c.amount || v2.Total().String() != c.total {
			t.Errorf("%v: %v and %v, want %v and %v: %v", c.price, v2.Lines, v2.Total(), c.amount, c.total, err)
		}
		if back, err := m.Downgrade(v2); err != nil || !repo.Identical(back, v1) {
			t.Errorf("%+v came back as %+v, %v", v1, back, err)
		}
	}
	for text, want := range map[value.Number]string{
		"0.30000000000000004": "0.30000000000000004", "-0": "0.00",
		"1234567.875": "1234567.90", "1234567.88": "1234567.88", "0.005": "0.005",
	} {
		v2, err := m.Upgrade(models.OrderV1{Freight: &text})
		if err != nil || models.Amount(*v2.Shipment.Freight).String() != want {
			t.Errorf("a freight of %s became %+v, %v, want %s", text, v2.Shipment, err, want)
		}
	}
	for date, want := range map[models.Date]models.Date{
		"1996-07-04": "1996-07-04", "1996-07-04 00:00:00": "1996-07-04",
		"1996-07-04T00:00:00.000": "1996-07-04",
	} {
		v1 := models.OrderV1{OrderDate: &date}
		v2, err := m.Upgrade(v1)
		if err != nil || *v2.PlacedOn != want {
			t.Errorf("%s became %v, %v", date, v2.PlacedOn, err)
		}
		if back, err := m.Downgrade(v2); err != nil || !repo.Identical(back, v1) {
			t.Errorf("%s came back as %v, %v", date, *back.OrderDate, err)
		}
	}
	for _, date := range []models.Date{
		"1996-7-4", "2014-03-02 11:08:41", "7/4/1996", "35250", "", "0000-00-00",
		"infinity", "2023-02-29", "1996-07-04 00:00:01",
	} {
		_, err := m.Upgrade(models.OrderV1{OrderDate: &date})
		wantField(t, "orderDate", err)
	}
	for field, v1 := range map[string]models.OrderV1{
		"details[0].unitPrice": order("9.805", "0"),
		"details[0].discount":  order("1", "1.5"),
		"freight":              {Freight: new(value.Number("NaN"))},
		"requiredDate":         {RequiredDate: new(models.Date("infinity"))},
		"shippedDate":          {ShippedDate: new(models.Date("2023-02-29"))},
		"shipCountry":          {ShipCountry: new("Atlantis")},
	} {
		_, err := m.Upgrade(v1)
		wantField(t, field, err)
	}
	for _, v1 := range []models.OrderV1{
		order("NaN", "0"), order("Infinity", "0"), order(number("1e99"), "0"),
		order("1", "NaN"), order("1", "-0.1"), order("x", "0"),
	} {
		if _, err := m.Upgrade(v1); err == nil {
			t.Errorf("%+v was converted", v1.Details)
		}
	}
	for field, v2 := range map[string]models.OrderV2{
		"lines": {Lines: []models.OrderLine{
			{ProductID: 1, Discount: "0"},
			{ProductID: 1, Discount: "0"},
		}},
		"shipment.address.countryCode": {Shipment: models.Shipment{Address: models.Postal{CountryCode: new("DE")}}},
	} {
		_, err := m.Downgrade(v2)
		wantField(t, field, err)
	}
}

// V1's spelling of a number stays while V2 has that number, and no longer.
func TestSpellingsStayWithTheirNumbers(t *testing.T) {
	m := models.OrderMapping{}
	v1 := models.OrderV1{
		Freight: new(value.Number("9.80000019")), OrderDate: new(models.Date("1996-07-04 00:00:00")),
		Details: []models.OrderDetailV1{{
			ProductID: 1, UnitPrice: "9.800000190734863", Quantity: 1,
			Discount: "0.150000006",
		}, {ProductID: 2, UnitPrice: "-0", Quantity: 1, Discount: "0"}},
	}
	v2, err := m.Upgrade(v1)
	if err != nil {
		t.Fatal(err)
	}
	v2.SetShipment(models.Shipment{Freight: v2.Shipment.Freight, Recipient: new("x")})
	v2.SetLines([]models.OrderLine{
		{ProductID: 2, UnitPrice: "0", Quantity: 7, Discount: "0"},
		{ProductID: 1, UnitPrice: "9.8", Quantity: 1, Discount: "0.2"},
	})
	back, err := m.Downgrade(v2)
	if err != nil || *back.Freight != "9.80000019" || *back.OrderDate != "1996-07-04 00:00:00" ||
		back.Details[0].UnitPrice != "9.800000190734863" || back.Details[0].Discount != "0.2" ||
		back.Details[1].UnitPrice != "-0" {
		t.Errorf("V1 is %+v, %v", back, err)
	}
	v2.Shipment.Freight = new(models.Decimal("9.81"))
	v2.PlacedOn = new(models.Date("1996-07-05"))
	if back, err := m.Downgrade(v2); err != nil || *back.Freight != "9.81" || *back.OrderDate != "1996-07-05" {
		t.Errorf("V1 is %+v, %v", back, err)
	}
}

func wantField(t *testing.T, field string, err error) {
	t.Helper()
	if fault, ok := errors.AsType[*repo.FieldError](err); !ok || fault.Field != field || fault.Reason == "" {
		t.Errorf("got error %v, want one that names %s", err, field)
	}
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]models.Decimal{
		"12.50": "12.5", "-0": "0", "007": "7", "0.10": "0.1", "-1.0": "-1",
		"+1.50": "1.5", ".5": "0.5", "00014.00": "14",
	} {
		if d, err := models.ParseDecimal(in); err != nil || d != want {
			t.Errorf("%s: %s, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "1e2", "5.", ".", "+", "1,5", "NaN", "١", " 1.5", "−1", strings.Repeat("9", 61)} {
		if _, err := models.ParseDecimal(in); err == nil {
			t.Errorf("%q was taken for a decimal", in)
		}
	}
	for _, v := range []any{"1996-7-4", "1996-02-30", "0000-01-01", 19960704, nil, "1996-07-04T00:00:00Z"} {
		if err := new(models.Date).UnmarshalGQLContext(t.Context(), v); err == nil {
			t.Errorf("%v was taken for a date", v)
		}
	}
	for _, v := range []any{1.5, json.Number("1.5"), true, nil} {
		if err := new(models.Amount).UnmarshalGQL(v); err == nil {
			t.Errorf("%v was taken for an amount", v)
		}
	}
}

func TestSample(t *testing.T) {
	const customers, orders = 1000, 5000
	keys := map[string]bool{}
	for i := range customers {
		v1 := models.SampleCustomer(1, i)
		v2, err := models.CustomerMapping{}.Upgrade(v1)
		if err != nil || len(v1.CustomerID) != 5 || keys[v1.CustomerID] ||
			!repo.Identical(v1, models.SampleCustomer(1, i)) {
			t.Fatalf("customer %d: %+v, %+v, %v", i, v1, v2, err)
		}
		keys[v1.CustomerID] = true
	}
	if c := models.SampleCustomer(7, 0); c.CustomerID != "ALFKI" || *c.ContactName != "Maria Anders" {
		t.Errorf("the first customer is %+v", c)
	}
	for i := range customers {
		v1 := models.SampleBadCustomer(1, i)
		if _, err := (models.CustomerMapping{}).Upgrade(v1); err == nil || len(v1.CustomerID) != 5 ||
			keys[v1.CustomerID] {
			t.Fatalf("bad customer %d: %+v, %v", i, v1, err)
		}
	}
	for _, i := range []int{36*36*36*36 - 1, 36 * 36 * 36 * 36, 10_000_000, models.MaxSampleCustomers - 1} {
		key := models.SampleCustomer(1, i).CustomerID
		if len(key) != 5 || keys[key] || strings.ContainsAny(key[:1], "ACX") {
			t.Fatalf("customer %d is %s", i, key)
		}
		keys[key] = true
	}
	for i := range orders {
		v1 := models.SampleOrder(1, i, customers)
		if _, err := (models.OrderMapping{}).Upgrade(v1); err != nil || !keys[*v1.CustomerID] ||
			v1.OrderID != models.OrderID(models.FirstSampleOrder+i) {
			t.Fatalf("order %d: %+v, %v", i, v1, err)
		}
	}
	if repo.Identical(models.SampleCustomer(1, 5), models.SampleCustomer(2, 5)) {
		t.Error("the seed changes nothing")
	}
}
