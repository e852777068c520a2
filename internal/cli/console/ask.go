package console

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// maxSecret bounds what is read from standard input as one value, in bytes.
const maxSecret = 1 << 20

// Confirm asks before something that cannot be undone. Without a terminal
// there is nobody to ask, and --yes is required.
func (c *Console) Confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !c.Terminal.IsTerminal(c.In) {
		return Usagef("%s Add --yes to do it without being asked.", question)
	}
	fmt.Fprintf(c.Err, "%s [y/N] ", Printable(question))
	answer, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return Usagef("nothing was done")
}

// Secret reads a secret: typed unseen in a terminal, else all of standard
// input without its last line break.
func (c *Console) Secret(prompt string) (string, error) {
	if c.Terminal.IsTerminal(c.In) {
		fmt.Fprintf(c.Err, "%s: ", prompt)
		secret, err := c.Terminal.ReadSecret()
		fmt.Fprintln(c.Err)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		return secret, nil
	}
	data, err := io.ReadAll(io.LimitReader(c.In, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if len(data) > maxSecret {
		return "", Usagef("the value on standard input is larger than %d bytes", maxSecret)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}
