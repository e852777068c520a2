package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Event is a server-sent event of a task's stream.
type Event struct {
	Name string          // "activity", "note", "task", "end"; "" is a sign of life
	ID   string          // what to go on from; the last one that was sent
	Data json.RawMessage `json:",omitempty"`
}

// maxEvent bounds one line of a stream, in bytes.
const maxEvent = 1 << 20

// TaskEvents follows a task from an event on ("" is from the start) until see
// says that it has seen enough, or the stream ends, which it does at least once
// a minute: then call it again with the last id. Every activity is sent as a
// whole, so an event may be seen twice.
func (c *Client) TaskEvents(ctx context.Context, id, last string, see func(Event) (enough bool)) error {
	query := url.Values{}
	if last != "" {
		query.Set("lastEventId", last)
	}
	resp, err := c.send(ctx, http.MethodGet, c.resolve("/api/tasks/"+url.PathEscape(id)+"/events", query), nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	err = readEvents(resp.Body, last, see)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && resource.CodeOf(err) != resource.TooLarge:
		return c.unreachable(http.MethodGet, fmt.Errorf("follow %s: %w", id, err))
	}
	return err
}

// readEvents reads the text/event-stream format, as far as our server writes it.
func readEvents(from io.Reader, last string, see func(Event) bool) error {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 0, 64<<10), maxEvent)
	event := Event{ID: last}
	for scanner.Scan() {
		line := scanner.Bytes()
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
			if event.Name != "" || event.Data != nil {
				if see(event) {
					return nil
				}
			}
			event = Event{ID: event.ID}
		case len(field) == 0: // a comment: the server is there
			if see(Event{ID: event.ID}) {
				return nil
			}
		case string(field) == "event":
			event.Name = string(value)
		case string(field) == "id":
			event.ID = string(value)
		case string(field) == "data":
			event.Data = append(event.Data, value...)
		}
	}
	if scanner.Err() == bufio.ErrTooLong { //nolint:errorlint // bufio returns it bare
		return resource.Errorf(resource.TooLarge, "An event of the stream is larger than %d bytes.", maxEvent)
	}
	return scanner.Err()
}
