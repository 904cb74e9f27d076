package server

import "reflect"

// endOnce is a connection on which an operation ends once. gqlgen sends "complete" after "error", although that ends an
// operation too; clients then count one operation less than there are on the socket, and close it while others run.
type endOnce struct {
	fullConn
	failed map[string]bool // operations whose "complete" must not be sent
}

func newEndOnce(conn fullConn) endOnce { return endOnce{conn, map[string]bool{}} }

// WriteJSON is part of gqlgen's interface, which calls it with one message after the other.
func (c endOnce) WriteJSON(v any) error {
	kind, id := messageField(v, "Type"), messageField(v, "ID")
	switch {
	case kind == "error":
		c.failed[id] = true
	case c.failed[id]:
		delete(c.failed, id)
		if kind == "complete" {
			return nil
		}
	}
	return c.fullConn.WriteJSON(v)
}

// messageField is a field of gqlgen's message, whose type it does not export; "" where there is none.
func messageField(v any, name string) string {
	message := reflect.Indirect(reflect.ValueOf(v))
	if message.Kind() != reflect.Struct {
		return ""
	}
	field := message.FieldByName(name)
	if field.Kind() != reflect.String {
		return ""
	}
	return field.String()
}
