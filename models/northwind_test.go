package models_test

import (
	"encoding/csv"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/value"
)

// The real data, where COEXIST_NORTHWIND names the folder that holds it.
func TestNorthwind(t *testing.T) {
	folder := os.Getenv("COEXIST_NORTHWIND")
	if folder == "" {
		t.Log(
			"COEXIST_NORTHWIND names no folder with customers.csv, orders.csv and order_details.csv: nothing more to test")
		return
	}
	customers := readCSV(t, folder, "customers.csv")
	for _, row := range customers {
		v1 := models.CustomerV1{
			CustomerID: *row["customer_id"], CompanyName: *row["company_name"], ContactName: row["contact_name"],
			ContactTitle: row["contact_title"], Address: row["address"],
			City: row["city"], Region: row["region"], PostalCode: row["postal_code"], Country: row["country"],
			Phone: row["phone"], Fax: row["fax"],
		}
		v2, err := models.CustomerMapping{}.Upgrade(v1)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := (models.CustomerMapping{}).Downgrade(v2); err != nil || !repo.Identical(back, v1) {
			t.Errorf("%+v came back as %+v, %v", v1, back, err)
		}
	}
	details := map[string][]models.OrderDetailV1{}
	rows := readCSV(t, folder, "order_details.csv")
	for _, row := range rows {
		details[*row["order_id"]] = append(details[*row["order_id"]], models.OrderDetailV1{
			ProductID: *whole(t, row["product_id"]), UnitPrice: *numberOf(row["unit_price"]),
			Quantity: *whole(t, row["quantity"]), Discount: *numberOf(row["discount"]),
		})
	}
	orders := readCSV(t, folder, "orders.csv")
	sum, thirds := new(big.Rat), 0
	for _, row := range orders {
		v1 := models.OrderV1{
			OrderID: models.OrderID(*whole(t, row["order_id"])), CustomerID: row["customer_id"],
			EmployeeID: whole(t, row["employee_id"]), ShipVia: whole(t, row["ship_via"]),
			OrderDate: (*models.Date)(row["order_date"]), RequiredDate: (*models.Date)(row["required_date"]),
			ShippedDate: (*models.Date)(row["shipped_date"]),
			Freight:     numberOf(row["freight"]), ShipName: row["ship_name"], ShipAddress: row["ship_address"],
			ShipCity:   row["ship_city"],
			ShipRegion: row["ship_region"], ShipPostalCode: row["ship_postal_code"], ShipCountry: row["ship_country"],
			Details: details[*row["order_id"]],
		}
		v2, err := models.OrderMapping{}.Upgrade(v1)
		if err != nil {
			t.Fatalf("order %d: %v", v1.OrderID, err)
		}
		if back, err := (models.OrderMapping{}).Downgrade(v2); err != nil || !repo.Identical(back, v1) {
			t.Errorf("%+v came back as %+v, %v", v1, back, err)
		}
		total, _ := new(big.Rat).SetString(v2.Total().String())
		sum.Add(sum, total)
		for _, l := range v2.Lines {
			amount, _ := new(big.Rat).SetString(l.Total().String())
			if !amount.Mul(amount, big.NewRat(100, 1)).IsInt() {
				thirds++
			}
		}
		if v1.OrderID == 10248 && (models.Amount(*v2.Shipment.Freight).String() != "32.38" ||
			models.Amount(v2.Lines[1].UnitPrice).String() != "9.80") {
			t.Errorf("10248 has freight %s and a second line of %s", *v2.Shipment.Freight, v2.Lines[1].UnitPrice)
		}
	}
	if len(customers) != 91 || len(orders) != 830 || len(rows) != 2155 || sum.FloatString(4) != "1265793.0395" ||
		thirds != 81 {
		t.Errorf("%d customers, %d orders, %d details, total %s, %d lines with a third decimal", len(customers),
			len(orders), len(rows), sum.FloatString(6), thirds)
	}
}

func readCSV(t *testing.T, folder, name string) []map[string]*string {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(file).ReadAll()
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]*string
	for _, line := range lines[1:] {
		row := map[string]*string{}
		for i, value := range line {
			if value != `\N` {
				row[lines[0][i]] = &value
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func whole(t *testing.T, s *string) *int {
	t.Helper()
	if s == nil {
		return nil
	}
	n, err := strconv.Atoi(*s)
	if err != nil {
		t.Fatal(err)
	}
	return &n
}

func numberOf(s *string) *value.Number {
	if s == nil {
		return nil
	}
	return new(number(*s))
}
