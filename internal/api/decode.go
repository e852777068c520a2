package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Limits of a JSON body (abuse 58).
const (
	MaxBody  = 32 << 20 // bytes, unless the route says otherwise
	MaxDepth = 64
)

// readJSON reads the one JSON value of a body into out. Names match in any
// case and unknown ones are accepted: clients of many versions send both
// (octopus-api.md 1.5). Duplicate names, trailing bytes, deep nesting and
// numbers that do not fit are refused. An empty body leaves out as it is when
// optional.
func readJSON(r *http.Request, out any, optional bool) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		if optional {
			return nil
		}
		return resource.Errorf(resource.Invalid, "The request has no body. Please send the document as JSON.")
	}
	if err := checkContentType(r); err != nil {
		return err
	}
	if err := CheckJSON(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return jsonError(err)
	}
	return nil
}

// checkContentType demands JSON where a body says what it is: a form of
// another site can only send text/plain and the form types (abuse 20).
func checkContentType(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err == nil && (media == "application/json" || media == "text/json" || len(media) > 5 && media[len(media)-5:] == "+json") {
		return nil
	}
	return resource.Errorf(resource.Invalid, "The request says Content-Type %.60q. Please send application/json.", header)
}

func bodyError(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return resource.Errorf(resource.TooLarge, "The request is larger than %d MiB. Please send less at once.", large.Limit>>20)
	}
	return &resource.Error{Code: resource.Invalid, Message: "The request ended before its body was complete. Please send it again.", Err: err}
}

func jsonError(err error) error {
	var known *resource.Error
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &kind):
		e := resource.Errorf(resource.Invalid, "%s cannot be a %s. Please correct its type.", fieldName(kind.Field), kind.Value)
		e.Field, e.Err = kind.Field, err
		return e
	}
	return &resource.Error{Code: resource.Invalid, Message: "The request is not valid JSON. Please correct it.", Err: err}
}

func fieldName(field string) string {
	if field == "" {
		return "The document"
	}
	return field
}

// CheckJSON refuses what two parsers could read differently, and what is built
// to exhaust one (abuse 58): more than one value, duplicate names in an object
// and nesting beyond MaxDepth.
func CheckJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return resource.Errorf(resource.Invalid, "The request has more than one JSON value. Please send one document.")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return &resource.Error{Code: resource.Invalid, Message: fmt.Sprintf("The request is not valid JSON at byte %d. Please correct it.", d.InputOffset()), Err: err}
	}
	delim, opens := token.(json.Delim)
	if !opens {
		return nil
	}
	if depth == MaxDepth {
		return resource.Errorf(resource.TooLarge, "The request nests deeper than %d levels. Please flatten it.", MaxDepth)
	}
	if delim == '{' {
		return checkObject(d, depth)
	}
	for d.More() {
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	return endOf(d)
}

func checkObject(d *json.Decoder, depth int) error {
	names := map[string]struct{}{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return &resource.Error{Code: resource.Invalid, Message: fmt.Sprintf("The request is not valid JSON at byte %d. Please correct it.", d.InputOffset()), Err: err}
		}
		name, _ := token.(string)
		if _, twice := names[name]; twice {
			return resource.Errorf(resource.Invalid, "The request has the name '%.60s' twice in one object. Please send it once.", name)
		}
		names[name] = struct{}{}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	return endOf(d)
}

func endOf(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return &resource.Error{Code: resource.Invalid, Message: fmt.Sprintf("The request is not valid JSON at byte %d. Please correct it.", d.InputOffset()), Err: err}
	}
	return nil
}
