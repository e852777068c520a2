// Command floor does the least that a roll-out can do, and nothing more:
// agents that are connected over TLS 1.3 get the bytes they lack, extract
// them, write the configuration, run the script and flip a link. No journal,
// no database, no fsync, no hash, no log, no recovery. Set beside it, the
// figures of Slipway say what its promises cost. It imports nothing of the
// product.
//
//	floor server -agents N    reads commands from standard input
//	floor agent -server ADDR -pin HEX -dir DIR
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: floor server|agent")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	agents := flags.Int("agents", 1, "how many agents to wait for")
	server := flags.String("server", "", "address to dial")
	pin := flags.String("pin", "", "SHA-256 of the server's certificate, hexadecimal")
	dir := flags.String("dir", "", "folder to work in")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "server":
		return serve(*agents, os.Stdin, os.Stdout)
	case "agent":
		return agent(*server, *pin, *dir)
	default:
		return fmt.Errorf("no command %q", args[0])
	}
}
