/* The life of a vNIC's port: a model of the engine's claims against an outside network provider.
 *
 * Three small worlds share this file; choose one with -DPART=...
 *   1 CLAIMS   one or two NICs of one VM, two engines, a provider, a stranger, an admin (P1 P2 P5 P7, half of P3)
 *   2 HOSTS    run, stop, fence and migrate one VM on two hosts; hostile messages   (P3 P4 P5 P6)
 *   3 BINDINGS a second binding on the provider while a VM moves                    (P3 P5 for a moving VM)
 * Every rule of vnic-protocol.md is a switch R_...: 0 = without it. vnic.sh sets the final rules; override any by name.
 * "calm" is the moment when faults stop. From then on a counter bounds the engine's work: if the world is not
 * settled after KMAX steps the run fails (livelock, P7); when nothing is left to do, P1 is checked.
 */
bool calm; byte cnt;
#define STEP(txt)  printf txt
#define CHECK(n,x) assert((ONLY && ONLY != n) || (x))       /* property Pn; ONLY=n looks at that one alone */
#define TICK       if :: calm -> cnt++; assert(cnt < KMAX) :: else fi   /* P7: settles in a bounded number of steps */

#if PART == 1
/* ------------------------------------------------------------------------------------------ 1: CLAIMS */
/* R_CAS     record a reply only if the claim's generation and port are still those of the snapshot
 * R_DOOM    before any DELETE, one transaction: nobody keeps the port -> doomed; doomed is never adopted
 * R_MATCH   after 409 look up by owner + MAC + network (0: by device_id + owner)
 * R_GC      the sweeper keeps a port that a claim records, and also: 2 = one with the MAC and network of a claim
 *           that wants a port; 4 = and stamped with its generation; 3 = as 2, only while that claim records none; 1 = no other; 0 = any port with the
 *           device_id of a VM that has a wanting claim
 * R_STAMP   every generation writes the port once (stamp) before the VM may run on it
 * R_READ    the stamp can be read on the port: whoever finds its own generation there counts it as done
 * R_IFM     PUT carries If-Match: the revision recorded in the claim with this generation
 * R_FRESH   (instead of STAMP + IFM, when ports live as long as a run) a port serves one generation only: a new
 *           generation dooms the recorded port, and a port found by MAC is adopted only if it carries this
 *           generation's stamp, else doomed and deleted: then no PUT is ever needed; 2 = adopted if it has the
 *           content this generation wants (here: the host), no stamp read; 3 = as 1, but a recorded port lives on
 * R_KEY     another network = another claim: the old port is doomed, never carried over
 * R_ORDER   claims become absent only when the VM is seen down
 * R_TWICE   sweeper acts only on ports it saw in an earlier sweep (grace)
 * R_OWN     the sweeper and the lookup look at device_owner (0: at device_id alone)
 * Size of the instance, and budgets of faults:
 * NC        NICs
 * KEEP      1: the port is kept, unbound, while the VM is down
 * USER      run / stop / change network
 * LOST      replies lost after the provider committed
 * LATE      requests that stay on the way and land at any later time, or never
 * CRASH STRANGER ADMIN RENET   engine crashes; a stranger's ports; an admin's deletes of ours; moves to another network */
#define MAXP 9
#define ABS 0      /* wanted: 0 absent, 1 or 2 bound to that host, 3 kept unbound */
#define UNB 3
#if KEEP
#define REST UNB
#else
#define REST ABS
#endif
/* the engine's database */
byte wanted[NC], gen[NC], net[NC], port[NC], seenh[NC], seenr[NC], stamp[NC]; bool err[NC], doomed[MAXP], seen1[MAXP];
byte vdes;                                   /* VM wanted down (0) or up on host 1, 2 */
/* the host */
bool up; byte rhost, rport[NC];
/* the provider: ports get fresh ids 1, 2, 3, ...; an id is never used twice */
bool ex[MAXP], ours[MAXP]; byte pmac[MAXP], pnet[MAXP], phost[MAXP], prev[MAXP], pstamp[MAXP]; byte nextp = 1;
/* budgets of faults */
byte user = USER, lost = LOST, late = LATE, crash = CRASH, stranger = STRANGER, admin = ADMIN, renet = RENET;
/* the one request that is late */
mtype = { NONE, POST, PUT, DEL, OK, CONFLICT, GONE, STALE, SILENT };
mtype lk = NONE, lres = NONE; byte lid, lc, ln, lp, lh, lr, lg;
byte i;                                      /* scratch, always 0 between steps */

/* -- the provider's three calls; res = its answer, id = the port made */
inline do_post(c, n, h, g, res, id) {
    i = 1; id = 0;
    do :: i < MAXP && !(ex[i] && pmac[i] == c && pnet[i] == n) -> i++ :: else -> break od;
    if
    :: i < MAXP -> res = CONFLICT; STEP(("  provider: POST nic %d net %d -> 409, port %d has the MAC\n", c, n, i))
    :: else ->
        assert(nextp < MAXP); id = nextp; nextp++;
        ex[id] = 1; ours[id] = 1; pmac[id] = c; pnet[id] = n; phost[id] = h; prev[id] = 1; pstamp[id] = g; res = OK;
        STEP(("  provider: POST nic %d net %d host %d commits as port %d\n", c, n, h, id))
    fi; i = 0
}
inline do_put(p, h, r, g, res) {
    if
    :: !ex[p] -> res = GONE; STEP(("  provider: PUT port %d -> 404\n", p))
    :: ex[p] && R_IFM && prev[p] != r -> res = STALE; STEP(("  provider: PUT port %d host %d -> 412\n", p, h))
    :: else ->
        STEP(("  provider: PUT port %d host %d commits\n", p, h));
        CHECK(2, ours[p]);
        i = 0; do :: i < NC -> CHECK(5, !(up && rport[i] == p && rhost != h)); i++ :: else -> break od;
        phost[p] = h; prev[p]++; pstamp[p] = g; res = OK
    fi; i = 0
}
inline do_del(p, res) {
    if
    :: !ex[p] -> res = GONE; STEP(("  provider: DELETE port %d -> 404\n", p))
    :: else ->
        STEP(("  provider: DELETE port %d commits\n", p));
        CHECK(2, ours[p]);
        i = 0; do :: i < NC -> CHECK(5, !(up && rport[i] == p)); i++ :: else -> break od;
        wipe(p); res = OK
    fi; i = 0
}
/* a deleted port is forgotten everywhere at once, the doomed mark too: the hardest case for the rules */
inline wipe(p) { ex[p] = 0; ours[p] = 0; pmac[p] = 0; pnet[p] = 0; phost[p] = 0; prev[p] = 0; pstamp[p] = 0; doomed[p] = 0; seen1[p] = 0 }
/* one call: it commits and is answered; or the answer is lost; or it lands late */
inline call(k, c, n, p, h, r, g, res, id) {
    atomic {
        if
        :: true -> now(k, c, n, p, h, r, g, res, id)
        :: lost > 0 && !calm -> lost--; now(k, c, n, p, h, r, g, res, id); res = SILENT; id = 0; STEP(("    ... the reply is lost\n"))
        :: late > 0 && !calm && lk == NONE -> late--; lk = k; lc = c; ln = n; lp = p; lh = h; lr = r; lg = g; res = SILENT; id = 0;
           STEP(("    ... %e port %d nic %d host %d is on the way; the engine gives up waiting\n", k, p, c, h))
        fi
    }
}
inline now(k, c, n, p, h, r, g, res, id) {
    if :: k == POST -> do_post(c, n, h, g, res, id) :: k == PUT -> do_put(p, h, r, g, res) :: k == DEL -> do_del(p, res) fi
}
/* does some claim keep port p? (the sweeper's question, asked of the database) */
#define K(c,p)     (port[c] == p || (R_GC >= 2 && wanted[c] != ABS && (R_GC != 3 || port[c] == 0) && (R_GC != 4 || pstamp[p] == gen[c]) && pmac[p] == c && pnet[p] == net[c]) || (R_GC == 0 && wanted[c] != ABS))
#if NC > 1
#define KEPT(p)    (K(0,p) || K(1,p))
#define HELD(p)    (port[0] == p || port[1] == p)
#else
#define KEPT(p)    K(0,p)
#define HELD(p)    (port[0] == p)
#endif
#define LISTED(p)  (ex[p] && (ours[p] || !R_OWN) && (doomed[p] || !KEPT(p)))   /* choosing a kept port would do nothing */
#define BLOCKED(c) (err[c] && strangerhas(c))
#define strangerhas(c) ((ex[1] && !ours[1] && pmac[1] == c && pnet[1] == net[c]) || (ex[2] && !ours[2] && pmac[2] == c && pnet[2] == net[c]) || (ex[3] && !ours[3] && pmac[3] == c && pnet[3] == net[c]))
#define MINE(c)    (gen[c] == sg && port[c] == sp)          /* the row is still the one of the snapshot */
#define NEED(c)    ((wanted[c] != ABS && ((port[c] == 0 && !BLOCKED(c)) || (port[c] != 0 && (seenh[c] != (wanted[c] % 3) \
                   || (R_STAMP && stamp[c] != gen[c]) || !ex[port[c]] || phost[port[c]] != (wanted[c] % 3))))) || (wanted[c] == ABS && port[c] != 0))
#define SNAP       TICK; sw = wanted[c]; sg = gen[c]; sp = port[c]; sr = seenr[c]; sn = net[c]; \
                   STEP(("engine %d reads claim %d: wanted %d generation %d port %d\n", _pid, c, sw, sg, sp)); goto converge
#define BACK       c = 0; sw = 0; sg = 0; sp = 0; sr = 0; sn = 0; q = 0; res = NONE; goto top
#define DIE        :: atomic { crash > 0 && !calm -> crash--; STEP(("engine %d crashes and comes back\n", _pid)); BACK }

active [2] proctype Engine() {
    byte c, sw, sg, sp, sr, sn, q; mtype res;
top:
end:
    atomic { if
    :: NEED(0) -> c = 0; SNAP               /* the row, read in one statement */
#if NC > 1
    :: NEED(1) -> c = 1; SNAP
#endif
    :: LISTED(1) -> q = 1 :: LISTED(2) -> q = 2 :: LISTED(3) -> q = 3  /* a sweep: list what is ours, take one */
    :: LISTED(4) -> q = 4 :: LISTED(5) -> q = 5 :: LISTED(6) -> q = 6 :: LISTED(7) -> q = 7 :: LISTED(8) -> q = 8
    fi;
    TICK; if :: doomed[q] -> goto delete :: else fi;
    if :: R_TWICE && !seen1[q] -> seen1[q] = 1; BACK :: else -> STEP(("engine %d sweeps: sees port %d\n", _pid, q)) fi }
    if DIE :: true -> atomic {               /* list first, claims after */
        if :: KEPT(q) -> BACK :: else -> STEP(("engine %d: no claim keeps port %d, it is to be deleted\n", _pid, q)) fi } fi;
    if DIE :: true -> atomic {               /* the mark needs one exclusion only: held by a claim, or doomed, never both */
        if :: R_DOOM && HELD(q) -> BACK :: R_DOOM && !HELD(q) -> doomed[q] = ex[q] :: !R_DOOM fi } fi;
delete:
    if DIE :: true -> call(DEL, 0, 0, q, 0, 0, 0, res, sn); atomic { BACK } fi;

converge:
    if
    :: sw == ABS -> goto release
    :: sw != ABS && sp == 0 -> goto create
    :: else -> goto update
    fi;
release:
    if DIE
    :: R_DOOM -> atomic {                    /* no call here: the port becomes a debt, paid by the sweep */
        if :: MINE(c) && wanted[c] == ABS -> doomed[sp] = ex[sp]; port[c] = 0; seenh[c] = 0; seenr[c] = 0; stamp[c] = 0;
              STEP(("engine %d: claim %d lets port %d go (doomed)\n", _pid, c, sp)) :: else fi; BACK }
    :: !R_DOOM -> call(DEL, 0, 0, sp, 0, 0, 0, res, sn);
       atomic { if :: res != SILENT && (!R_CAS || MINE(c)) -> port[c] = 0; seenh[c] = 0; seenr[c] = 0; stamp[c] = 0 :: else fi; BACK }
    fi;
create:
    if DIE :: true -> call(POST, c, sn, 0, sw % 3, 0, sg, res, q) fi;
    if
    :: res == OK -> atomic {
        if :: (!R_CAS || MINE(c)) && !doomed[q] -> port[c] = q; seenh[c] = sw % 3; seenr[c] = 1; stamp[c] = sg; err[c] = 0;
              STEP(("engine %d records port %d in claim %d\n", _pid, q, c)) :: else fi; BACK }
    :: res == CONFLICT ->                    /* somebody has the MAC: is it ours? */
        atomic { q = 0; i = 1;
            do :: i < MAXP && !(ex[i] && (ours[i] || !R_OWN) && (!R_MATCH || (pmac[i] == c && pnet[i] == sn))) -> i++ :: else -> break od;
            if :: i < MAXP -> q = i; sr = prev[i]; sn = (R_FRESH == 2 -> (phost[i] == sw % 3 -> sg : 255) : (R_READ || R_FRESH -> pstamp[i] : 0)); sw = phost[i] :: else fi; i = 0 }
        if DIE
        :: q == 0 -> atomic { if :: MINE(c) -> err[c] = 1; STEP(("engine %d: the MAC of claim %d is a stranger's\n", _pid, c)) :: else fi; BACK }
        :: q != 0 && doomed[q] -> goto delete /* pay the debt ourselves, then make a new one */
        :: q != 0 && !doomed[q] && R_FRESH && sn != sg -> atomic {   /* of another generation: doom it, if ours is current */
            if :: MINE(c) -> doomed[q] = (R_DOOM && ex[q]); STEP(("engine %d dooms port %d of another generation\n", _pid, q)); goto delete :: else -> BACK fi }
        :: q != 0 && !doomed[q] && !(R_FRESH && sn != sg) -> atomic {
            if :: (!R_CAS || MINE(c)) && !(R_DOOM && doomed[q]) -> port[c] = q; seenh[c] = sw; seenr[c] = sr; stamp[c] = sn; err[c] = 0;
                  STEP(("engine %d adopts port %d for claim %d\n", _pid, q, c)) :: else fi; BACK }
        fi
    :: else -> atomic { BACK }
    fi;
update:
    if DIE :: true -> call(PUT, c, sn, sp, sw % 3, sr, sg, res, sn) fi;
    if
    :: res == OK -> atomic { if :: !R_CAS || (MINE(c) && seenr[c] == sr) -> seenh[c] = sw % 3; seenr[c] = sr + 1; stamp[c] = sg :: else fi; BACK }
    :: res == GONE -> atomic { if :: !R_CAS || MINE(c) -> port[c] = 0; seenh[c] = 0; seenr[c] = 0; stamp[c] = 0 :: else fi; BACK }
    :: res == STALE ->                       /* read again; the new revision counts only for the same generation */
        atomic { q = prev[sp]; sn = phost[sp]; sw = (R_READ -> pstamp[sp] : 0) };
        atomic { if :: !R_CAS || (MINE(c) && seenr[c] == sr) -> seenr[c] = q; seenh[c] = sn; stamp[c] = sw :: else fi; BACK }
    :: else -> atomic { BACK }
    fi
}

#define ready(c)   (wanted[c] == vdes && port[c] != 0 && seenh[c] == vdes && (!R_STAMP || stamp[c] == gen[c]) \
                    && ex[port[c]] && phost[port[c]] == vdes)       /* the last two: the check on the host */
#define drop(c)    doomed[port[c]] = (R_DOOM && ex[port[c]]); port[c] = 0; seenh[c] = 0; seenr[c] = 0; stamp[c] = 0
#if NC > 1
#define DROP drop(0); drop(1)
#define READY (ready(0) && ready(1))
#define all(f, v) f[0] = v; f[1] = v
#define bump gen[0]++; gen[1]++
#else
#define DROP drop(0)
#define READY ready(0)
#define all(f, v) f[0] = v
#define bump gen[0]++
#endif
active proctype World() {
    byte c;
end:
    do
    :: atomic { !calm && user > 0 && vdes == 0 && !up -> user--;
        if :: vdes = 1 :: vdes = 2 fi; all(wanted, vdes); bump; if :: R_FRESH == 1 || R_FRESH == 2 -> DROP :: else fi; STEP(("USER: run the VM on host %d (generation %d)\n", vdes, gen[0])) }
    :: atomic { !calm && user > 0 && vdes != 0 -> user--; vdes = 0; STEP(("USER: stop the VM\n")) }
    :: atomic { !calm && renet > 0 && vdes == 0 && !up && wanted[0] == REST -> renet--; net[0] = 1 - net[0]; gen[0]++; STEP(("USER: NIC 0 moves to network %d\n", net[0]));
        if :: R_KEY && port[0] != 0 -> DROP :: else fi }
    :: atomic { up && vdes == 0 -> up = 0; rhost = 0; all(rport, 0); STEP(("host: the guest is down\n")) }
    :: atomic { vdes == 0 && (!R_ORDER || !up) && wanted[0] != REST -> all(wanted, REST); bump; STEP(("engine: claims now rest (generation %d)\n", gen[0])) }
    :: atomic { !up && vdes != 0 && READY -> up = 1; rhost = vdes; c = 0;
        do :: c < NC -> rport[c] = port[c]; CHECK(3, ours[port[c]] && pmac[port[c]] == c && pnet[port[c]] == net[c]); c++ :: else -> break od; c = 0;
        STEP(("host %d: the guest runs on port %d\n", rhost, rport[0])) }
    :: atomic { up && vdes == rhost && READY && (rport[0] != port[0]) -> all(rport, 0); rport[0] = port[0]; STEP(("host: rewired after the admin's delete\n")) }
    :: atomic { lk != NONE -> STEP(("LATE request lands:\n"));
        { now(lk, lc, ln, lp, lh, lr, lg, lres, lid); lres = NONE; lid = 0 }; lk = NONE; lc = 0; ln = 0; lp = 0; lh = 0; lr = 0; lg = 0 }
    :: atomic { lk != NONE -> lk = NONE; lc = 0; ln = 0; lp = 0; lh = 0; lr = 0; lg = 0 }
    :: atomic { !calm && stranger > 0 && nextp < 4 && !strangerhas(0) && !(ex[1] && pmac[1] == 0 && pnet[1] == net[0]) && !(ex[2] && pmac[2] == 0 && pnet[2] == net[0]) ->
        stranger--; ex[nextp] = 1; pmac[nextp] = 0; pnet[nextp] = net[0]; prev[nextp] = 1; STEP(("STRANGER makes port %d with NIC 0's MAC and device_id\n", nextp)); nextp++ }
    :: atomic { !calm && ex[1] && !ours[1] -> wipe(1) } :: atomic { !calm && ex[2] && !ours[2] -> wipe(2) }
    :: atomic { !calm && admin > 0 && port[0] != 0 && ex[port[0]] && ours[port[0]] -> admin--; STEP(("ADMIN deletes port %d\n", port[0])); wipe(port[0]) }
#ifndef NOCALM
    :: atomic { !calm -> calm = 1; STEP(("--- calm ---\n")) }
#endif
    :: timeout -> c = 1;       /* nothing left to do: P1 */
        do
        :: c < MAXP -> CHECK(1, !ex[c] || !ours[c] || (port[0] == c && wanted[0] != ABS)
#if NC > 1
                              || (port[1] == c && wanted[1] != ABS)
#endif
                       ); c++
        :: else -> break
        od;
        CHECK(1, wanted[0] == ABS || BLOCKED(0) || (port[0] != 0 && ex[port[0]] && phost[port[0]] == wanted[0] % 3 && pnet[port[0]] == net[0] && pmac[port[0]] == 0));
        break
    od
}
#endif

#if PART == 2
/* ------------------------------------------------------------------------------------------- 2: HOSTS
 * One VM, hosts 1 and 2. Every wish of the engine is an ORDER with its own epoch, written in one database
 * transaction and never changed. Sending is hostile: any order may reach any host late, often, or never; an engine
 * that crashes, or an old engine that wakes up, only adds to that. So the engines need no process of their own. */
/* R_MAY     "may run" set: a host enters before an order is sent, leaves only by its word or by fencing; 0 = after a
 *           stop the engine believes a host that answers "no such VM"
 * R_SESSION an order carries the agent's session as the database knew it when the order was written
 * R_PERSIST (alternative to sessions) the agent keeps its floor on disk
 * R_STRICT  a start of an epoch is obeyed once: epoch > floor (0: epoch >= floor)
 * R_ACK     "not here" counts only for the present epoch (0: any such word counts)
 * R_REL     the claim is released only when the may-run set is empty (0: when a stop is wanted)
 * R_BOUND   a move starts only when the claim is seen bound where the guest is now
 * R_GATE    the guest resumes only if the port is seen bound to this host
 * PROV      0: the provider may stop answering for good, at any moment
 * FENCE     power-offs, each confirmed
 * AGENT     agents that crash and restart while the VM lives on */
#define EP 11
mtype = { NO, START, STOP, MIGRATE, SETTLE };
/* the database */
byte vdes, ep, wb, sessdb[3]; bool may[3], moving, dead;
mtype kind[EP] = NO; byte oh[EP], s1[EP], s2[EP];     /* the orders: what, which host, the sessions of host 1 and 2 */
/* the hosts: dom 0 none 1 paused 2 running 3 incoming */
byte sess[3], floor[3], dom[3], dep[3]; bool said[3*EP]; /* said: host h said "not here" under epoch e */
byte pb;                                              /* the provider: the port is bound to host pb (0: no port) */
byte user = USER, fence = FENCE, agent = AGENT;
#define NOBODY     (!may[1] && !may[2])
#define KILL(h)    dom[h] = 0; dep[h] = 0; if :: dom[3-h] == 3 -> dom[3-h] = 0; dep[3-h] = 0 :: else fi
#define ORDER(k, h) ep++; assert(ep < EP); kind[ep] = k; oh[ep] = h; s1[ep] = sessdb[1]; s2[ep] = sessdb[2]
#define SAFE       CHECK(4, !(dom[1] == 2 && dom[2] == 2))
#define FRESH(h,e) (!R_SESSION || ((h) == 1 -> s1[e] : s2[e]) == sess[h])
#define CAN(h,e)   (FRESH(h,e) && ((kind[e] == START && oh[e] == h && dom[h] == 0 && (e > floor[h] || (!R_STRICT && e == floor[h]))) \
                   || ((kind[e] == STOP || kind[e] == SETTLE) && e > floor[h]) \
                   || (kind[e] == MIGRATE && oh[e] == h && FRESH(3-h,e) && e > floor[h] && e > floor[3-h] && dom[h] == 2 && dom[3-h] == 0)))

active [2] proctype Agent() {                         /* host 1 is process 0, host 2 is process 1 */
    byte h, e, ok; h = _pid + 1;
end:
    do
    :: atomic { if :: CAN(h,1) -> e = 1 :: CAN(h,2) -> e = 2 :: CAN(h,3) -> e = 3 :: CAN(h,4) -> e = 4  /* any order, */
                   :: CAN(h,5) -> e = 5 :: CAN(h,6) -> e = 6 :: CAN(h,7) -> e = 7 :: CAN(h,8) -> e = 8  /* at any time */
                   :: CAN(h,9) -> e = 9 :: CAN(h,10) -> e = 10 fi;
        floor[h] = e;
        if
        :: kind[e] == START -> dom[h] = 1; dep[h] = e; STEP(("host %d: start of epoch %d, guest paused\n", h, e))
        :: kind[e] == STOP -> KILL(h); STEP(("host %d: stop of epoch %d\n", h, e))
        :: kind[e] == MIGRATE -> floor[3-h] = e; dep[h] = e; dep[3-h] = e; dom[3-h] = 3; STEP(("host %d: epoch %d, moving to host %d\n", h, e, 3-h))
        :: kind[e] == SETTLE -> STEP(("host %d: settle of epoch %d\n", h, e)); if :: dom[h] == 3 -> dom[h] = 0; dep[h] = 0 :: else fi
        fi; e = 0 }
    :: atomic { dom[h] == 0 && floor[h] == ep && ep > 0 && !said[h*EP+ep] && kind[ep] != START -> said[h*EP+ep] = 1; STEP(("host %d says not here, epoch %d\n", h, ep)) }
    :: atomic { dom[h] == 1 && ok != dep[h] && (!R_GATE || pb == h) -> ok = dep[h] }      /* the check, then the resume: two steps */
    :: atomic { ok != 0 -> if :: dom[h] == 1 && ok == dep[h] -> dom[h] = 2; STEP(("host %d: the guest runs\n", h)); CHECK(3, pb == h); SAFE :: else fi; ok = 0 }
    :: atomic { !calm && user > 0 && dom[h] == 2 && dom[3-h] != 3 -> user--; said[h*EP+dep[h]] = 1; KILL(h); STEP(("host %d: the guest shuts down by itself\n", h)) }
    :: atomic { dom[h] == 2 && dom[3-h] == 3 ->           /* libvirt's promise: the guest is on one side only */
        if :: dom[h] = 0; dep[h] = 0; dom[3-h] = 2; STEP(("host %d: the guest has arrived on host %d\n", h, 3-h)) :: dom[3-h] = 0; dep[3-h] = 0; STEP(("the move fails\n")) fi; SAFE }
    :: atomic { !calm && agent > 0 -> agent--; ok = 0; sess[h]++; if :: !R_PERSIST -> floor[h] = dep[h] :: else fi; STEP(("host %d: the agent restarts\n", h)) }
    :: atomic { sessdb[h] != sess[h] -> sessdb[h] = sess[h] }                          /* hello: the engine learns the session */
    od
}
#define OUT(h)     (may[h] && (said[h*EP+ep] || (!R_ACK && (said[h*EP+1] || said[h*EP+2] || said[h*EP+3]))))
#define LEAVE      may[h] = 0; STEP(("engine: host %d leaves the may-run set, epoch %d\n", h, ep)); \
                   if :: moving && vdes != 0 -> moving = 0; vdes = 3-h; wb = vdes :: !moving && vdes == h -> vdes = 0 :: else fi; h = 0
active proctype Engine() {
    byte h;
end:
    do
    :: atomic { !calm && user > 0 && vdes == 0 && NOBODY -> user--; if :: h = 1 :: h = 2 fi;
        ORDER(START, h); vdes = h; wb = h; may[h] = 1; STEP(("USER: run on host %d, epoch %d\n", h, ep)); h = 0 }
    :: atomic { !calm && user > 0 && vdes != 0 -> user--; ORDER(STOP, 0); STEP(("USER: stop, epoch %d\n", ep));
        if :: !R_MAY && dom[vdes] == 0 -> may[1] = 0; may[2] = 0 :: else fi; vdes = 0; moving = 0 }
    :: atomic { !calm && user > 0 && vdes != 0 && !moving && dom[vdes] == 2 && (!R_BOUND || pb == vdes) -> user--; ORDER(MIGRATE, vdes); may[1] = 1; may[2] = 1; moving = 1; STEP(("USER: migrate from host %d, epoch %d\n", vdes, ep)) }
    :: atomic { moving && kind[ep] == MIGRATE && floor[1] < ep -> ORDER(SETTLE, 0); STEP(("engine: asks both hosts, epoch %d\n", ep)) }
    :: atomic { calm && sessdb[1] == sess[1] && sessdb[2] == sess[2] && (s1[ep] != sess[1] || s2[ep] != sess[2] || (vdes == 0 && kind[ep] != STOP)) && !NOBODY &&
        (moving || vdes == 0) -> TICK; if :: vdes == 0 -> ORDER(STOP, 0) :: else -> ORDER(SETTLE, 0) fi; STEP(("engine: asks again, epoch %d\n", ep)) }
    :: atomic { OUT(1) -> h = 1; LEAVE } :: atomic { OUT(2) -> h = 2; LEAVE }
    :: atomic { !calm && fence > 0 -> fence--; if :: h = 1 :: h = 2 fi; sess[h]++; KILL(h); if :: !R_PERSIST -> floor[h] = 0 :: else fi;
        said[h*EP+ep] = 1; STEP(("FENCE: host %d is powered off under epoch %d\n", h, ep)); h = 0 }
    :: atomic { vdes == 0 && wb != 0 && (!R_REL || NOBODY) -> wb = 0; STEP(("engine: the claim is released\n")) }
    :: atomic { !dead && pb != wb -> CHECK(5, !(pb != 0 && dom[pb] == 2));
        pb = wb; STEP(("provider: the port is now bound to host %d\n", pb)) }
    :: atomic { !calm -> calm = 1; STEP(("--- calm ---\n")) }
    :: atomic { !PROV && !dead -> dead = 1; STEP(("the PROVIDER stops answering for good\n")) }
    :: timeout -> CHECK(6, vdes != 0 || (NOBODY && dom[1] == 0 && dom[2] == 0));       /* stopped, provider or not */
        CHECK(1, dead || pb == wb); CHECK(5, dead || ((dom[1] != 2 || pb == 1) && (dom[2] != 2 || pb == 2))); break
    od
}
#endif

#if PART == 3
/* ---------------------------------------------------------------------------------------- 3: BINDINGS
 * A VM moves between hosts 1 and 2; its port has a binding per host: 0 none, 1 inactive, 2 active. The provider's
 * binding calls know no If-Match, and DELETE of a binding does not ask whether it is the active one.
 * R_QUAR  a binding call is announced in the database first; while one is unanswered no other is made and no new
 *         move starts, until its answer, or until it can no longer land (time limit L)
 * R_AFTER activate only when the guest is seen on the destination (0: when the copying starts)
 * R_FIRST the guest is moved only when the binding for the destination exists */
mtype = { NIL, CREATE, ACTIVATE, DELETE };
byte b[3], loc = 1, mig, gen, moves = USER, late = LATE, lost = LOST, crash = CRASH;
bool copying, over, busy;                             /* mig, gen, over, busy: the database; loc, copying: libvirt */
mtype lk = NIL; byte lh;
inline provider(k, x) {
    if
    :: k == CREATE && b[x] == 0 -> b[x] = (b[3-x] == 2 -> 1 : 2); STEP(("  provider: new binding for host %d\n", x))
    :: k == ACTIVATE && b[x] == 1 && b[3-x] == 2 -> CHECK(5, loc == x || (!R_AFTER && copying)); b[x] = 2; b[3-x] = 1; STEP(("  provider: host %d is active\n", x))
    :: k == DELETE -> STEP(("  provider: binding of host %d deleted\n", x)); CHECK(5, !(b[x] == 2 && loc == x)); b[x] = 0
    :: else -> STEP(("  provider: %e host %d is refused (404, 409)\n", k, x))
    fi
}
active [2] proctype Engine() {
    byte g, h, l; mtype k = NIL;
top:
end:
    atomic { (!R_QUAR || !busy) && mig != 0 && (over || !copying || (!R_AFTER && b[mig] == 1)) ->        /* the claim, where the guest is, and the bindings: then one call */
        g = gen; l = loc; h = 3 - l;
        if
        :: !over && !copying && b[mig] == 0 -> k = CREATE; h = mig
        :: !over && copying && !R_AFTER && b[mig] == 1 -> k = ACTIVATE; h = mig
        :: !over && !copying && (b[mig] != 0 || !R_FIRST) -> copying = 1; STEP(("engine %d: the move to host %d starts\n", _pid, mig)); goto done
        :: over && b[l] == 0 -> k = CREATE; h = l
        :: over && b[l] == 1 -> k = ACTIVATE; h = l
        :: over && b[l] == 2 && b[h] != 0 -> k = DELETE
        :: over && b[l] == 2 && b[h] == 0 -> mig = 0; over = 0; STEP(("engine %d: settled on host %d\n", _pid, l)); goto done
        fi; TICK; busy = 1; STEP(("engine %d: will %e host %d\n", _pid, k, h)) }
    atomic { if
        :: true -> provider(k, h); busy = 0
        :: lost > 0 && !calm -> lost--; provider(k, h); STEP(("    ... the reply is lost\n"))
        :: late > 0 && !calm && lk == NIL -> late--; lk = k; lh = h; STEP(("    ... it is on the way; the engine gives up waiting\n"))
        :: crash > 0 && !calm -> crash--; STEP(("engine %d crashes before the call\n", _pid))
        fi; goto done }
done: atomic { k = NIL; g = 0; h = 0; l = 0; goto top }
}
active proctype World() {
    b[1] = 2;
end:
    do
    :: atomic { !calm && moves > 0 && mig == 0 && (!R_QUAR || !busy) -> moves--; mig = 3 - loc; gen++; STEP(("USER: move to host %d\n", mig)) }
    :: atomic { copying -> copying = 0; over = 1; if :: CHECK(3, b[mig] != 0); loc = mig; STEP(("host: the guest has arrived on %d\n", loc)) :: STEP(("host: the move fails, the guest is on %d\n", loc)); CHECK(5, b[loc] == 2) fi }
    :: atomic { mig != 0 && !copying && !over && !calm -> over = 1; STEP(("engine: the move is given up\n")) }
    :: atomic { lk != NIL -> STEP(("LATE:\n")); provider(lk, lh); lk = NIL; lh = 0 }
    :: atomic { lk != NIL -> lk = NIL; lh = 0 }
    :: atomic { busy && lk == NIL && Engine[0]@top && Engine[1]@top -> busy = 0 }        /* after L nothing can land any more */
    :: atomic { !calm -> calm = 1; STEP(("--- calm ---\n")) }
    :: timeout -> CHECK(1, b[loc] == 2 && b[3-loc] == 0 && mig == 0); break
    od
}
#endif
