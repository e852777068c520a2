package configure

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// charset is how a file's text is stored: a codec, nil for UTF-8, and the byte
// order mark it starts with.
type charset struct {
	codec encoding.Encoding
	mark  string
}

const (
	markUTF8    = "\xEF\xBB\xBF"
	markUTF16LE = "\xFF\xFE"
	markUTF16BE = "\xFE\xFF"
	markUTF32LE = "\xFF\xFE\x00\x00"
	markUTF32BE = "\x00\x00\xFE\xFF"
)

// decodeText reads a file as its byte order mark says, else as UTF-8, else as
// Windows-1252, which holds any bytes (configuration.md 4.2).
func decodeText(raw []byte) (string, charset, error) {
	c, marked, err := fromMark(raw)
	if err != nil {
		return "", c, err
	}
	if !marked && !utf8.Valid(raw) {
		c = charset{codec: charmap.Windows1252}
	}
	text, err := c.decode(raw)
	return text, c, err
}

// decodeXML reads a file as its byte order mark or its declaration says, else
// as UTF-8, which is XML's own rule.
func decodeXML(raw []byte) (string, charset, error) {
	c, marked, err := fromMark(raw)
	if err != nil {
		return "", c, err
	}
	if name := declaredEncoding(raw); !marked && name != "" && !strings.HasPrefix(strings.ToLower(name), "utf-") {
		codec, err := htmlindex.Get(name)
		if err != nil {
			return "", c, fmt.Errorf("it declares the encoding %q, which is not known", name)
		}
		c.codec = codec
	}
	text, err := c.decode(raw)
	return text, c, err
}

func declaredEncoding(raw []byte) string {
	declaration := regexp.MustCompile(`^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']`)
	m := declaration.FindSubmatch(raw[:min(len(raw), 400)])
	if m == nil {
		return ""
	}
	return string(m[1])
}

func fromMark(raw []byte) (c charset, marked bool, err error) {
	has := func(mark string) bool { return bytes.HasPrefix(raw, []byte(mark)) }
	switch {
	case has(markUTF32LE), has(markUTF32BE):
		return c, false, errors.New("it is UTF-32; store it as UTF-8")
	case has(markUTF8):
		return charset{mark: markUTF8}, true, nil
	case has(markUTF16LE):
		return charset{codec: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), mark: markUTF16LE}, true, nil
	case has(markUTF16BE):
		return charset{codec: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), mark: markUTF16BE}, true, nil
	}
	return charset{}, false, nil
}

// decode fails with a position where the bytes are not of this encoding, so
// that what is not touched can be written back as it was.
func (c charset) decode(raw []byte) (string, error) {
	body := raw[len(c.mark):]
	if c.codec == nil {
		if at := invalidUTF8(body); at >= 0 {
			return "", fmt.Errorf("it is not valid UTF-8 at byte %d (line %d)", at+len(c.mark), bytes.Count(body[:at], []byte("\n"))+1)
		}
		return string(body), nil
	}
	text, err := c.codec.NewDecoder().Bytes(body)
	if err != nil {
		return "", fmt.Errorf("read its encoding: %w", err)
	}
	back, err := c.codec.NewEncoder().Bytes(text)
	if err != nil || !bytes.Equal(back, body) {
		at := 0
		for at < len(back) && at < len(body) && back[at] == body[at] {
			at++
		}
		return "", fmt.Errorf("its encoding is broken at byte %d", at+len(c.mark))
	}
	return string(text), nil
}

func invalidUTF8(raw []byte) int {
	for at := 0; at < len(raw); {
		r, size := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// encode writes text in this encoding; one that cannot hold it gives way to
// UTF-8 without a mark (configuration.md 4.2).
func (c charset) encode(text string) []byte {
	if c.codec == nil {
		return []byte(c.mark + text)
	}
	body, err := c.codec.NewEncoder().Bytes([]byte(text))
	if err != nil {
		return []byte(text)
	}
	return append([]byte(c.mark), body...)
}

// holds says whether the encoding has the character.
func (c charset) holds(r rune) bool {
	if c.codec == nil {
		return true
	}
	_, err := c.codec.NewEncoder().String(string(r))
	return err == nil
}

// charsetByName is the encoding a step asks for. UTF-8 chosen this way writes a
// mark (configuration.md 4.3).
func charsetByName(name string) (charset, bool) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8":
		return charset{mark: markUTF8}, true
	case "utf-16", "utf-16le", "unicode":
		return charset{codec: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), mark: markUTF16LE}, true
	case "utf-16be", "unicodefffe":
		return charset{codec: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), mark: markUTF16BE}, true
	case "utf-32", "utf-7":
		return charset{}, false
	case "us-ascii", "ascii":
		return charset{}, true // UTF-8 without a mark holds it all
	case "iso-8859-1", "latin1":
		return charset{codec: charmap.ISO8859_1}, true
	}
	codec, err := htmlindex.Get(name)
	if err != nil {
		return charset{}, false
	}
	return charset{codec: codec}, true
}
