// Drops V1's tables of the sample in a database, for scripts/check-end.sh.
package main

import (
	"database/sql"
	"log"
	"os"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "github.com/mattn/go-sqlite3"    // the driver "sqlite3"
)

func main() {
	driver, name := "pgx", os.Args[1]
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		driver, name = "sqlite3", path
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		log.Fatal(err)
	}
	for _, table := range []string{"order_details", "orders", "customers"} {
		if _, err := db.Exec("DROP TABLE " + table); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
}
