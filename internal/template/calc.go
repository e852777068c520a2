package template

import (
	"math"
	"strconv"
	"strings"
)

// calcNode is a part of a calculation. value asks lookup for variables; ok is
// false when the whole token has to be echoed (configuration.md 1.10).
type calcNode interface {
	value(lookup func(*symbol) (string, bool, error)) (n float64, ok bool, err error)
	render(b *strings.Builder)
}

type (
	calcNumber float64
	calcName   struct {
		sym    *symbol
		braces bool
	}
	calcPair struct {
		op          byte
		left, right calcNode
	}
)

func (n calcNumber) value(func(*symbol) (string, bool, error)) (float64, bool, error) {
	return float64(n), true, nil
}

func (n calcNumber) render(b *strings.Builder) { b.WriteString(number(float64(n))) }

func (n *calcName) value(lookup func(*symbol) (string, bool, error)) (float64, bool, error) {
	text, ok, err := lookup(n.sym)
	if !ok || err != nil {
		return 0, false, err
	}
	text = strings.TrimSpace(text)
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false, nil
	}
	f, perr := strconv.ParseFloat(text, 64)
	return f, perr == nil, nil
}

func (n *calcName) render(b *strings.Builder) {
	if !n.braces {
		n.sym.render(b)
		return
	}
	b.WriteByte('{')
	n.sym.render(b)
	b.WriteByte('}')
}

func (n *calcPair) value(lookup func(*symbol) (string, bool, error)) (float64, bool, error) {
	left, ok, err := n.left.value(lookup)
	if !ok || err != nil {
		return 0, false, err
	}
	right, ok, err := n.right.value(lookup)
	if !ok || err != nil {
		return 0, false, err
	}
	switch n.op {
	case '+':
		left += right
	case '-':
		left -= right
	case '*':
		left *= right
	default:
		left /= right
	}
	return left, !math.IsInf(left, 0) && !math.IsNaN(left), nil
}

func (n *calcPair) render(b *strings.Builder) {
	n.left.render(b)
	b.WriteByte(n.op)
	n.right.render(b)
}

// number is the shortest text that reads back as f, in the form .NET gives it.
func number(f float64) string {
	if size := math.Abs(f); f != 0 && (size < 1e-5 || size >= 1e15) {
		return strings.ToUpper(strconv.FormatFloat(f, 'e', -1, 64))
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
