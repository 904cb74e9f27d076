package server

import "reflect"

// endOnce is a connection on which an operation ends only once. gqlgen sends "complete" after "error", although an
// "error" already ends the operation. Clients then count one operation too few on the socket, and close it while others
// still run.
type endOnce struct {
	fullConn
	failed map[string]bool // operations, by gqlgen's id, that have sent "error": their "complete" must not be sent
}

func newEndOnce(conn fullConn) endOnce { return endOnce{conn, map[string]bool{}} }

// WriteJSON is part of gqlgen's interface. gqlgen never calls it twice at the same time.
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
	if id != "" {
		reflect.Indirect(reflect.ValueOf(v)).FieldByName("ID").SetString(clientID(id))
	}
	return c.fullConn.WriteJSON(v)
}

// messageField returns a text field of gqlgen's message, or "" if there is none. gqlgen does not export the message's
// type.
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
