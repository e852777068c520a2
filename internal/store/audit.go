package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Subject is a document that an event's message names.
type Subject struct{ ID, Name string }

// AuditRecord is what is written about a person's action or a change of state.
type AuditRecord struct {
	Category string // resource.Event…
	SpaceID  string // empty: of the whole server
	Message  string // a sentence; where it holds a Subject's name, it links to it
	Subjects []Subject
	Related  []string       // further documents it is found by
	Actor    resource.Actor // the transaction's when empty
	Comments string
	Details  string
	Changes  []resource.Difference // from Diff
}

// TopicAudit is notified by each audit record.
const TopicAudit = "audit"

// Audit writes the record in the transaction of what it is about: both are
// there or neither is. It must hold no secret (abuse 73).
func Audit(tx *Tx, rec AuditRecord) error {
	n, err := tx.NextNumber("Events")
	if err != nil {
		return err
	}
	actor := rec.Actor
	if actor == (resource.Actor{}) {
		actor = tx.by
	}
	references, related := rec.references()
	changes, err := json.Marshal(rec.Changes)
	if err != nil {
		return fmt.Errorf("audit %s: %w", rec.Category, err)
	}
	where, err := json.Marshal(references)
	if err != nil {
		return fmt.Errorf("audit %s: %w", rec.Category, err)
	}
	_, err = tx.exec(`INSERT INTO audit (ord, space_id, category, user_id, username, is_service, established_with, user_agent, ip_address,
		occurred, message, message_references, comments, details, changes, seal) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,0)`,
		n, rec.SpaceID, rec.Category, actor.UserID, actor.Username, boolInt(actor.IsService), actor.EstablishedWith,
		clip(actor.UserAgent, 300), actor.IPAddress, tx.now.UnixMilli(), rec.Message, string(where), rec.Comments, rec.Details, string(changes))
	if err != nil {
		return fmt.Errorf("audit %s: %w", rec.Category, err)
	}
	for _, id := range related {
		if _, err := tx.exec(`INSERT INTO audit_document (document_id, ord) VALUES ($1, $2)`, id, n); err != nil {
			return fmt.Errorf("audit %s: %w", rec.Category, err)
		}
	}
	tx.Notify(TopicAudit)
	return nil
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}

func (rec *AuditRecord) references() (refs []resource.MessageReference, related []string) {
	refs, related = []resource.MessageReference{}, []string{}
	add := func(id string) {
		if id != "" && !slices.Contains(related, id) {
			related = append(related, id)
		}
	}
	for _, s := range rec.Subjects {
		add(s.ID)
		if at := strings.Index(rec.Message, s.Name); at >= 0 && s.Name != "" {
			refs = append(refs, resource.MessageReference{ReferencedDocumentID: s.ID, StartIndex: utf16Len(rec.Message[:at]), Length: utf16Len(s.Name)})
		}
	}
	for _, id := range rec.Related {
		add(id)
	}
	return refs, related
}

func utf16Len(text string) int { return len(utf16.Encode([]rune(text))) }

// EventQuery says which events are wanted; a nil list does not restrict, an
// empty one matches none.
type EventQuery struct {
	AllSpaces     bool
	Spaces        []string
	System        bool     // with Spaces: those of no space too
	Regarding     []string // about all of these documents
	RegardingAny  [][]string
	Users         []string
	Categories    []string
	DocumentTypes []string // id prefixes: "Projects"
	From, To      resource.Time
	FromNumber    int64 // of the id, inclusive; 0: none
	ToNumber      int64
	IDs           []string
	Before        int64 // keyset: only events with a lower number
	Skip, Take    int   // Take 0: all
}

func (q *EventQuery) build(tx *Tx) *builder {
	b := newBuilder(tx.db.dialect, nil)
	if !q.AllSpaces {
		spaces := anys(q.Spaces)
		if q.System {
			spaces = append(spaces, "")
		}
		b.in("d.space_id", spaces)
	}
	for _, id := range q.Regarding {
		b.where("EXISTS (SELECT 1 FROM audit_document a WHERE a.ord = d.ord AND a.document_id = %s)", id)
	}
	for _, ids := range q.RegardingAny {
		b.exists("audit_document a", "a.ord = d.ord", "a.document_id", anys(ids))
	}
	if q.Users != nil {
		b.in("d.user_id", anys(q.Users))
	}
	if q.Categories != nil {
		b.in("d.category", anys(q.Categories))
	}
	if q.DocumentTypes != nil {
		b.documentTypes(q.DocumentTypes)
	}
	if q.IDs != nil {
		var numbers []any
		for _, id := range q.IDs {
			if strings.HasPrefix(id, "Events-") {
				numbers = append(numbers, resource.Ordinal(id))
			}
		}
		b.in("d.ord", numbers)
	}
	for _, limit := range []struct {
		condition string
		value     int64
	}{
		{"d.occurred >= %s", int64(q.From)},
		{"d.occurred <= %s", int64(q.To)},
		{"d.ord >= %s", q.FromNumber},
		{"d.ord <= %s", q.ToNumber},
		{"d.ord < %s", q.Before},
	} {
		if limit.value != 0 {
			b.where(limit.condition, limit.value)
		}
	}
	return b
}

func (b *builder) exists(from, join, column string, values []any) {
	inner := newBuilder(b.dialect, b.kind)
	inner.args = b.args
	inner.terms = []string{join}
	inner.in(column, values)
	b.args = inner.args
	b.terms = append(b.terms, "EXISTS (SELECT 1 FROM "+from+inner.sql()+")")
}

func (b *builder) documentTypes(types []string) {
	var terms []string
	for _, t := range types {
		low, high := b.arg(t+"-"), b.arg(t+".") // '.' follows '-'
		terms = append(terms, "(a.document_id >= "+low+" AND a.document_id < "+high+")")
	}
	if len(terms) == 0 {
		terms = []string{"1 = 0"}
	}
	b.terms = append(b.terms, "EXISTS (SELECT 1 FROM audit_document a WHERE a.ord = d.ord AND ("+strings.Join(terms, " OR ")+"))")
}

// ListEvents reads events, newest first, and counts all that match.
func ListEvents(tx *Tx, q EventQuery) (events []resource.Event, total int, err error) {
	b := q.build(tx)
	if err := tx.queryRow(`SELECT COUNT(*) FROM audit d`+b.sql(), b.args...).Scan(&total); err != nil || total == 0 {
		return nil, 0, err
	}
	text := `SELECT ord, space_id, category, user_id, username, is_service, established_with, user_agent, ip_address, occurred, message,
		message_references, comments, details, changes FROM audit d` + b.sql() + ` ORDER BY ord DESC`
	limit := int64(q.Take)
	if limit <= 0 {
		limit = 1<<63 - 1
	}
	text += " LIMIT " + strconv.FormatInt(limit, 10) + " OFFSET " + strconv.Itoa(max(q.Skip, 0))
	rows, err := tx.query(text, b.args...)
	if err != nil {
		return nil, 0, fmt.Errorf("list events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("list events: %w", err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("list events: %w", err)
	}
	rows.Close()
	return events, total, tx.relate(events)
}

// GetEvent reads one event.
func GetEvent(tx *Tx, id string) (*resource.Event, error) {
	events, _, err := ListEvents(tx, EventQuery{AllSpaces: true, IDs: []string{id}})
	if err != nil {
		return nil, err
	}
	if len(events) != 1 || events[0].ID != id {
		return nil, resource.Missing(id)
	}
	return &events[0], nil
}

func scanEvent(rows *sql.Rows) (e resource.Event, err error) {
	var ord, occurred int64
	var references, comments, details, changes string
	err = rows.Scan(&ord, &e.SpaceID, &e.Category, &e.UserID, &e.Username, &e.IsService, &e.IdentityEstablishedWith, &e.UserAgent,
		&e.IPAddress, &occurred, &e.Message, &references, &comments, &details, &changes)
	if err != nil {
		return e, err
	}
	e.ID = "Events-" + strconv.FormatInt(ord, 10)
	e.Occurred = resource.Time(occurred)
	e.MessageHTML = html.EscapeString(e.Message)
	e.RelatedDocumentIDs = []string{}
	if comments != "" {
		e.Comments = &comments
	}
	if details != "" {
		e.Details = &details
	}
	if err := json.Unmarshal([]byte(references), &e.MessageReferences); err != nil {
		return e, err
	}
	return e, json.Unmarshal([]byte(changes), &e.ChangeDetails.Differences)
}

// relate fills in the related documents of a page of events.
func (tx *Tx) relate(events []resource.Event) error {
	if len(events) == 0 {
		return nil
	}
	at := map[int64]*resource.Event{}
	b := newBuilder(tx.db.dialect, nil)
	var numbers []any
	for i := range events {
		n := resource.Ordinal(events[i].ID)
		at[n] = &events[i]
		numbers = append(numbers, n)
	}
	b.in("ord", numbers)
	rows, err := tx.query(`SELECT ord, document_id FROM audit_document`+b.sql()+` ORDER BY ord, document_id`, b.args...)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var id string
		if err := rows.Scan(&n, &id); err != nil {
			return fmt.Errorf("list events: %w", err)
		}
		at[n].RelatedDocumentIDs = append(at[n].RelatedDocumentIDs, id)
	}
	return rows.Err()
}
